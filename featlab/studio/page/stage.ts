// One model's picture: the image itself, the image before, and over both what the hand does.

import { maskOf } from "./brush";
import { h, percent } from "./dom";
import type { Model, Point, Stroke } from "./protocol";
import type { View } from "./session";

export interface Hand {
  down(point: Point): void;
  move(points: Point[]): void;
  up(): void;
  leave(): void;
}

const FADE_MS = 400;
/** Of the tint where the mask is whole, of 255. */
const OPACITY = 125;

/** A picture with what lies over it. Points are in image pixels. */
export class Stage {
  readonly element: HTMLElement;
  readonly board: HTMLElement;
  private readonly now = h("canvas", { class: "pixels" });
  private readonly before = h("canvas", { class: "pixels before", "aria-hidden": "true" });
  private readonly over = h("canvas", { class: "over", "aria-hidden": "true" });
  private readonly name = h("span", { class: "stage-name" });
  private readonly answer = h("span", { class: "stage-answer" });
  private readonly note = h("p", { class: "stage-note", hidden: true });
  private width = 28;
  private height = 28;
  private mask: { stroke: Stroke; canvas: HTMLCanvasElement } | null = null;
  private fading = 0;
  private pointer: { point: Point; radius: number } | null = null;
  private scheduled = false;

  constructor(readonly side: "main" | "beside", hand: Hand | null) {
    this.board = h("div", { class: "board" }, this.now, this.before, this.over, this.note);
    this.element = h("figure", { class: `stage ${side}` },
      this.board, h("figcaption", {}, this.name, this.answer));
    if (hand) this.listen(hand);
    new ResizeObserver(() => this.redraw()).observe(this.board);
  }

  /** Say which model it is; its images have this shape. */
  label(model: Model): void {
    const [, height, width] = model.shape;
    this.name.textContent = model.name.replace(/^zoo:/, "");
    if (width === this.width && height === this.height && this.now.width === width) return;
    [this.width, this.height] = [width, height];
    for (const canvas of [this.now, this.before]) [canvas.width, canvas.height] = [width, height];
    this.board.style.setProperty("aspect-ratio", `${width} / ${height}`);
    this.board.classList.toggle("small", Math.max(width, height) <= 96);
  }

  show(view: View | undefined, before: View | undefined, model: Model): void {
    paint(this.now, view?.bitmap);
    paint(this.before, before?.bitmap);
    this.board.classList.toggle("empty", !view);
    this.say(view, model);
  }

  /** Draw a frame of a run; the image before it stays. */
  frame(view: View): void {
    paint(this.now, view.bitmap);
    this.board.classList.remove("empty");
  }

  say(view: View | undefined, model: Model): void {
    const shares = view?.frame.probabilities ?? [];
    const top = shares.indexOf(Math.max(...shares));
    this.answer.textContent = top < 0 ? "" : `${model.classes[top]} ${percent(shares[top]!)}`;
    this.now.setAttribute("role", "img");
    this.now.setAttribute("aria-label", top < 0 ? "no image yet" : `the image; ${model.name} says ${this.answer.textContent}`);
  }

  complain(message: string | null): void {
    this.note.hidden = message === null;
    this.note.textContent = message ?? "";
  }

  /** How much of the image before is uncovered, from 0 to 1. */
  uncover(share: number): void {
    this.board.style.setProperty("--uncovered", `${100 * share}%`);
    this.board.classList.toggle("compared", share > 0);
  }

  /** Show a stroke's mask as a tint; with `isFading` the tint gives way to the image. */
  tint(stroke: Stroke | null, isFading = false): void {
    this.mask = stroke && stroke.tool !== "all" ? { stroke, canvas: tinted(stroke, this.width, this.height) } : null;
    this.fading = isFading ? performance.now() : 0;
    this.redraw();
  }

  fade(): void {
    if (this.mask && !this.fading) this.fading = performance.now();
    this.redraw();
  }

  ring(pointer: { point: Point; radius: number } | null): void {
    this.pointer = pointer;
    this.redraw();
  }

  private redraw(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.drawOver();
    });
  }

  private drawOver(): void {
    const { clientWidth, clientHeight } = this.board;
    const density = window.devicePixelRatio || 1;
    const size: Point = [Math.round(clientWidth * density), Math.round(clientHeight * density)];
    if (this.over.width !== size[0] || this.over.height !== size[1]) [this.over.width, this.over.height] = size;
    const context = this.over.getContext("2d")!;
    context.clearRect(0, 0, ...size);
    const strength = this.strengthOfTint();
    if (this.mask && strength > 0) {
      context.imageSmoothingEnabled = false;
      context.globalAlpha = strength;
      context.drawImage(this.mask.canvas, 0, 0, ...size);
      context.globalAlpha = 1;
      if (this.fading) this.redraw();
    }
    if (this.pointer) this.drawRing(context, size[0] / this.width, this.pointer);
  }

  private strengthOfTint(): number {
    if (!this.fading) return 1;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return 0;
    return Math.max(0, 1 - (performance.now() - this.fading) / FADE_MS);
  }

  private drawRing(context: CanvasRenderingContext2D, scale: number, { point, radius }: { point: Point; radius: number }): void {
    for (const [color, width] of [["rgb(0 0 0 / 0.65)", 3.5], ["rgb(255 255 255 / 0.95)", 1.5]] as const) {
      context.strokeStyle = color;
      context.lineWidth = width * (window.devicePixelRatio || 1);
      context.beginPath();
      if (radius > 0) context.arc(point[0] * scale, point[1] * scale, radius * scale, 0, 2 * Math.PI);
      else cross(context, point[0] * scale, point[1] * scale, 9 * (window.devicePixelRatio || 1));
      context.stroke();
    }
  }

  private listen(hand: Hand): void {
    const board = this.board;
    board.classList.add("paintable");
    board.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      event.preventDefault();
      board.focus({ preventScroll: true, focusVisible: false } as FocusOptions);
      board.setPointerCapture(event.pointerId);
      hand.down(this.pointOf(event));
    });
    board.addEventListener("pointermove", (event) => {
      if (!event.isPrimary) return;
      const events = event.getCoalescedEvents?.() ?? [];
      hand.move((events.length ? events : [event]).map((each) => this.pointOf(each)));
    });
    for (const name of ["pointerup", "pointercancel"] as const) {
      board.addEventListener(name, (event) => event.isPrimary && hand.up());
    }
    board.addEventListener("pointerleave", () => hand.leave());
  }

  private pointOf(event: PointerEvent): Point {
    const box = this.board.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }
}

function cross(context: CanvasRenderingContext2D, x: number, y: number, arm: number): void {
  context.moveTo(x - arm, y);
  context.lineTo(x + arm, y);
  context.moveTo(x, y - arm);
  context.lineTo(x, y + arm);
}

/** Copy an image to a canvas of its size, pixel by pixel. */
export function paint(canvas: HTMLCanvasElement, bitmap: ImageBitmap | undefined): void {
  const context = canvas.getContext("2d")!;
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (bitmap) context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

function tinted(stroke: Stroke, width: number, height: number): HTMLCanvasElement {
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d")!;
  const pixels = context.createImageData(width, height);
  const color = stroke.tool === "eraser" ? [255, 255, 255] : [52, 152, 255];
  maskOf(stroke, width, height).forEach((share, index) => {
    pixels.data.set([color[0]!, color[1]!, color[2]!, Math.round(OPACITY * share)], 4 * index);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}
