// The gallery of a model's neurons: each by a picture of what it responds to; one is chosen to paint with.

import { choose, chooseByArrows, find, h, icon, short } from "./dom";
import type { Layer, Model, Server, Unit } from "./protocol";

const IN_PANEL = 12;
const PAGE = 48;

/** The panel with a few neurons and the one that is chosen, and the dialog with all of them. */
export class Gallery {
  readonly element = h("div", { class: "neurons" });
  private readonly dialog = find<HTMLDialogElement>("gallery");
  private readonly layer = h("select", { id: "layer", change: () => this.turn() });
  private readonly few = h("div", { class: "units few", role: "radiogroup", "aria-label": "Neuron" });
  private readonly chosen = h("div", { class: "chosen-unit", hidden: true });
  private readonly title = h("h2", { id: "gallery-title" });
  private readonly order = h("select", { id: "gallery-order", change: () => void this.reload() });
  private readonly all = h("div", { class: "units all", role: "radiogroup", "aria-label": "Neuron" });
  private readonly more = h("button", { type: "button", class: "button", click: () => void this.load() }, "Show more");
  private readonly note = h("p", { class: "help", role: "status" });
  private model: Model | null = null;
  private units: Unit[] = [];
  private total = 0;
  unit: string | null = null;

  constructor(private readonly server: Server, private readonly changed: (unit: string) => void) {
    this.element.append(
      h("div", { class: "field row" }, h("label", { for: "layer" }, "Layer"), this.layer),
      this.chosen, this.few, this.note,
      h("button", { type: "button", class: "button wide", click: () => this.open() }, icon("grid"), "Gallery of neurons"));
    const close = h("button", { type: "button", class: "icon-button", "aria-label": "Close", click: () => this.dialog.close() }, icon("close"));
    this.dialog.append(
      h("div", { class: "dialog-head" }, this.title, h("label", { class: "inline" }, "Order", this.order), close),
      h("div", { class: "dialog-body" }, this.all, this.more));
    chooseByArrows(this.few);
    chooseByArrows(this.all);
  }

  /** Show another model; the layer before the last has what the classes are made of. */
  look(model: Model): void {
    if (this.model?.name === model.name) return;
    this.model = model;
    this.unit = null;
    this.chosen.hidden = true;
    this.layer.replaceChildren(...model.layers.map((each) =>
      h("option", { value: each.name }, `${each.name} · ${each.units} ${each.units === 1 ? "unit" : "units"}`)));
    this.layer.value = (model.layers.at(-2) ?? model.layers.at(-1))?.name ?? "";
    this.order.replaceChildren(h("option", { value: "" }, "by number"),
      ...model.classes.slice(0, 200).map((name, index) => h("option", { value: index }, `for ${name}`)));
    this.units = [];
    this.few.replaceChildren();
  }

  /** Load what the panel shows, once it is looked at. */
  wake(): void {
    if (this.model && this.units.length === 0 && this.layer.value) void this.reload();
  }

  private turn(): void {
    this.order.value = "";
    void this.reload();
  }

  private async reload(): Promise<void> {
    this.units = [];
    this.few.replaceChildren();
    this.all.replaceChildren();
    await this.load();
  }

  private async load(): Promise<void> {
    const [model, layer] = [this.model!, this.layer.value];
    this.note.textContent = "";
    const byClass = this.order.value !== "";
    const count = byClass ? this.layerAt(layer).units : PAGE;
    try {
      const answer = await this.server.json<{ units: Unit[]; total: number }>(
        "/api/units", { model: model.name, layer, offset: this.units.length, count });
      if (model !== this.model || layer !== this.layer.value) return;
      this.total = answer.total;
      this.add(byClass ? ordered(answer.units, Number(this.order.value)) : answer.units);
    } catch (error) {
      this.note.textContent = (error as Error).message;
    }
  }

  private layerAt(name: string): Layer {
    return this.model!.layers.find((each) => each.name === name)!;
  }

  private add(units: Unit[]): void {
    this.units.push(...units);
    const missing = IN_PANEL - this.few.childElementCount;
    this.few.append(...units.slice(0, Math.max(0, missing)).map((each) => this.tile(each)));
    this.all.append(...units.map((each) => this.tile(each)));
    this.more.hidden = this.units.length >= this.total;
    this.title.textContent = `Neurons of ${this.layer.value}`;
    this.mark();
  }

  private tile({ unit, weight_for_classes: weights }: Unit): HTMLElement {
    const at = this.order.value === "" ? undefined : weights?.[Number(this.order.value)];
    const name = unit.slice(unit.lastIndexOf(":") + 1);
    return h("button", { type: "button", role: "radio", class: "unit", "data-unit": unit, "aria-label": `neuron ${unit}`, click: () => this.take(unit) },
      this.picture(unit), h("span", {}, at === undefined ? name : `${name} · ${short(at)}`));
  }

  private picture(unit: string): HTMLElement {
    const image = h("img", { class: "pixels", loading: "lazy", alt: "", src: this.server.address("/api/unit.png", { model: this.model!.name, unit }) });
    image.addEventListener("load", () => image.classList.add("there"));
    image.addEventListener("error", () => image.classList.add("missing"));
    return image;
  }

  private take(unit: string): void {
    this.unit = unit;
    this.mark();
    this.chosen.replaceChildren(this.picture(unit), h("div", {},
      h("strong", {}, unit), h("p", { class: "help" }, "The picture shows what this neuron responds to most.")));
    this.chosen.hidden = false;
    if (this.dialog.open) this.dialog.close();
    this.changed(unit);
  }

  private mark(): void {
    for (const group of [this.few, this.all]) choose(group, (button) => button.dataset["unit"] === this.unit);
  }

  private open(): void {
    this.dialog.showModal();
    this.wake();
  }
}

/** Units by their weight for a class, the largest first; those without weights as they are. */
function ordered(units: Unit[], index: number): Unit[] {
  const weight = (each: Unit) => each.weight_for_classes?.[index] ?? 0;
  return [...units].sort((a, b) => weight(b) - weight(a));
}
