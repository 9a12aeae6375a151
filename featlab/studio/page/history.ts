// The strip of moments below the picture.

import { h } from "./dom";
import { paint } from "./stage";
import type { Session } from "./session";

/** A list of small images, one per stroke; each leads back to its moment. */
export class History {
  constructor(private readonly list: HTMLElement, private readonly session: Session) {}

  draw(): void {
    const { moments, at, model, isRunning } = this.session;
    const [, height, width] = model.shape;
    const items = moments.map((moment, index) => {
      const canvas = h("canvas", { width, height, class: "pixels", "aria-hidden": "true" });
      paint(canvas, moment.views.get(model.name)?.bitmap);
      const button = h("button", {
        type: "button", class: "moment", "aria-label": `${index === 0 ? "Before any stroke" : `Stroke ${index}: ${moment.label}`}`,
        "aria-current": index === at ? "step" : null, disabled: isRunning, click: () => this.session.go(index), title: moment.label,
      }, canvas, h("span", {}, index === 0 ? "Start" : moment.label));
      return h("li", { class: index > at ? "undone" : "" }, button);
    });
    const focused = [...this.list.children].findIndex((item) => item.contains(document.activeElement));
    this.list.replaceChildren(...items);
    if (focused >= 0) items[Math.min(focused, items.length - 1)]?.querySelector("button")?.focus({ preventScroll: true });
    const current = items[at];
    if (current) this.list.scrollTo({ left: current.offsetLeft - this.list.clientWidth / 2 + current.clientWidth / 2 });
  }
}
