// A reference patch: a box in an image, whose representation is painted.

import { h, icon } from "./dom";
import { paint } from "./stage";
import type { Box, Image } from "./protocol";

/** A picture in which a box is drawn by hand, or by four numbers. */
export class Patch {
  readonly element: HTMLElement;
  image: Image | null = null;
  box: Box = [0, 0, 28, 28];
  private readonly canvas = h("canvas", { class: "pixels" });
  private readonly frame = h("span", { class: "box", "aria-hidden": "true" });
  private readonly board = h("div", { class: "patch-board" }, this.canvas, this.frame);
  private readonly name = h("p", { class: "help" }, "Choose an image and draw a box around what is to be painted.");
  private readonly sides: HTMLInputElement[];
  private start: [number, number] | null = null;

  constructor(other: () => void, own: () => void, private readonly changed: () => void) {
    this.sides = ["left", "top", "right", "bottom"].map((side, index) => {
      const input = h("input", { type: "number", min: 0, step: 1, "aria-label": `${side} of the box` });
      input.addEventListener("change", () => this.typed(index, Number(input.value)));
      return input;
    });
    this.element = h("div", { class: "patch" },
      h("div", { class: "pair" },
        h("button", { type: "button", class: "button", click: own }, "This image"),
        h("button", { type: "button", class: "button", click: other }, icon("image"), "Another…")),
      this.board, h("div", { class: "sides" }, ...this.sides), this.name);
    this.board.hidden = true;
    this.element.querySelector<HTMLElement>(".sides")!.hidden = true;
    this.listen();
  }

  /** Take an image; the box is its middle half. */
  take(image: Image, bitmap: ImageBitmap, name: string): void {
    this.image = image;
    [this.canvas.width, this.canvas.height] = [bitmap.width, bitmap.height];
    paint(this.canvas, bitmap);
    this.board.hidden = false;
    this.element.querySelector<HTMLElement>(".sides")!.hidden = false;
    this.name.textContent = `${name}. Draw a box around what is to be painted.`;
    const [w, h_] = [bitmap.width, bitmap.height];
    this.set([Math.round(w / 4), Math.round(h_ / 4), Math.round((3 * w) / 4), Math.round((3 * h_) / 4)]);
  }

  private set(box: Box): void {
    const [w, h_] = [this.canvas.width, this.canvas.height];
    const clamp = (value: number, most: number) => Math.min(most, Math.max(0, Math.round(value)));
    const [x0, x1] = [clamp(Math.min(box[0], box[2]), w - 1), clamp(Math.max(box[0], box[2]), w)];
    const [y0, y1] = [clamp(Math.min(box[1], box[3]), h_ - 1), clamp(Math.max(box[1], box[3]), h_)];
    this.box = [x0, y0, Math.max(x1, x0 + 1), Math.max(y1, y0 + 1)];
    const style = this.frame.style;
    style.setProperty("left", `${(100 * this.box[0]) / w}%`);
    style.setProperty("top", `${(100 * this.box[1]) / h_}%`);
    style.setProperty("width", `${(100 * (this.box[2] - this.box[0])) / w}%`);
    style.setProperty("height", `${(100 * (this.box[3] - this.box[1])) / h_}%`);
    this.sides.forEach((input, index) => (input.value = String(this.box[index])));
    this.changed();
  }

  private typed(index: number, value: number): void {
    const box: Box = [...this.box];
    box[index] = value;
    this.set(box);
  }

  private listen(): void {
    const at = (event: PointerEvent): [number, number] => {
      const area = this.board.getBoundingClientRect();
      return [((event.clientX - area.left) / area.width) * this.canvas.width, ((event.clientY - area.top) / area.height) * this.canvas.height];
    };
    this.board.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.board.setPointerCapture(event.pointerId);
      this.start = at(event);
    });
    this.board.addEventListener("pointermove", (event) => {
      if (this.start) this.set([...this.start, ...at(event)]);
    });
    for (const name of ["pointerup", "pointercancel"] as const) this.board.addEventListener(name, () => (this.start = null));
  }
}
