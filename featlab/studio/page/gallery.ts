// The gallery of a model's neurons: each by a picture of what it responds to; one is chosen to paint with.

import { choose, chooseByArrows, find, h, icon } from "./dom";
import type { Model, Server, Unit } from "./protocol";

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
  private readonly wanted = h("select", { id: "gallery-class", change: () => this.filter() });
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
      h("div", { class: "dialog-head" }, this.title, h("label", { class: "inline", hidden: true }, "Raises", this.wanted), close),
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
    const last = model.layers.find((each) => each.name === "penultimate") ?? model.layers.at(-2) ?? model.layers.at(-1);
    this.layer.value = last?.name ?? "";
    this.units = [];
    this.few.replaceChildren();
  }

  /** Load what the panel shows, once it is looked at. */
  wake(): void {
    if (this.model && this.units.length === 0 && this.layer.value) void this.reload();
  }

  private turn(): void {
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
    try {
      const answer = await this.server.json<{ units: Unit[]; total: number }>(
        "/api/units", { model: model.name, layer, offset: this.units.length, count: PAGE });
      if (model !== this.model || layer !== this.layer.value) return;
      this.total = answer.total;
      this.add(answer.units);
    } catch (error) {
      this.note.textContent = (error as Error).message;
    }
  }

  private add(units: Unit[]): void {
    this.units.push(...units);
    const missing = IN_PANEL - this.few.childElementCount;
    this.few.append(...units.slice(0, Math.max(0, missing)).map((each) => this.tile(each)));
    this.all.append(...units.map((each) => this.tile(each)));
    this.more.hidden = this.units.length >= this.total;
    this.title.textContent = `Neurons of ${this.layer.value}`;
    this.offerClasses();
    this.mark();
  }

  /** Where the units of a layer say which classes they raise, a class can be asked for. */
  private offerClasses(): void {
    const named = new Set(this.units.flatMap((each) => each.classes));
    const chosen = this.wanted.value;
    this.wanted.replaceChildren(h("option", { value: "" }, "any class"),
      ...this.model!.classes.filter((name) => named.has(name)).map((name) => h("option", { value: name }, name)));
    this.wanted.value = named.has(chosen) ? chosen : "";
    this.wanted.parentElement!.hidden = named.size === 0;
    this.filter();
  }

  private filter(): void {
    const name = this.wanted.value;
    this.units.forEach(({ classes }, index) => {
      (this.all.children[index] as HTMLElement).hidden = name !== "" && !classes.includes(name);
    });
  }

  private tile({ unit, classes }: Unit): HTMLElement {
    const number = unit.slice(unit.lastIndexOf(":") + 1);
    return h("button", {
      type: "button", role: "radio", class: "unit", "data-unit": unit, click: () => this.take(unit, classes),
      "aria-label": `neuron ${unit}${classes.length ? `, raises ${classes.join(", ")}` : ""}`,
    }, this.picture(unit), h("span", {}, number), classes[0] ? h("span", { class: "raises" }, classes[0]) : null);
  }

  private picture(unit: string): HTMLElement {
    const image = h("img", { class: "pixels", loading: "lazy", alt: "", src: this.server.address("/api/unit.png", { model: this.model!.name, unit }) });
    image.addEventListener("load", () => image.classList.add("there"));
    image.addEventListener("error", () => image.classList.add("missing"));
    return image;
  }

  private take(unit: string, classes: string[]): void {
    this.unit = unit;
    this.mark();
    this.chosen.replaceChildren(this.picture(unit), h("div", {},
      h("strong", {}, unit), h("p", { class: "help" }, classes.length ? `Raises ${classes.join(", ")}.` : "The picture is what this neuron responds to.")));
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
