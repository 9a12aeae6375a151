// What the model says of the image at hand: its classes, the score that is climbed, and how far the image has moved.

import { h, percent, short } from "./dom";
import type { Model } from "./protocol";
import type { View } from "./session";

const SHOWN = 10;

interface Row {
  element: HTMLElement;
  main: HTMLElement;
  beside: HTMLElement;
}

export interface Reading {
  model: Model;
  main: View | undefined;
  before: View | undefined;
  beside: View | undefined;
  besideName: string | null;
  target: number | null;
  trace: number[];
}

/** Rows of classes, kept between updates so that bars glide; and the facts of the run. */
export class Readout {
  private readonly legend = h("p", { class: "legend" });
  private readonly list = h("ul", { class: "classes-said" });
  private readonly facts = h("dl", { class: "facts" });
  private readonly activation = h("dd");
  private readonly change = h("dd");
  private readonly spark = sparkline();
  private rows = new Map<number, Row>();
  private pending: Reading | null = null;

  constructor(element: HTMLElement) {
    this.facts.append(
      h("div", {}, h("dt", {}, "Activation"), this.activation),
      h("div", {}, h("dt", {}, "Moved (l2)"), this.change));
    element.append(this.legend, this.list, this.facts, this.spark.element);
  }

  /** Show a reading with the next picture of the screen; of several, the newest. */
  update(reading: Reading): void {
    if (!this.pending) requestAnimationFrame(() => this.draw());
    this.pending = reading;
  }

  private draw(): void {
    const reading = this.pending!;
    this.pending = null;
    this.drawLegend(reading);
    const shown = this.order(reading);
    const rows = shown.map((index) => this.row(index, reading));
    if ([...this.list.children].some((each, index) => each !== rows[index]?.element) || this.list.children.length !== rows.length) {
      this.list.replaceChildren(...rows.map((row) => row.element));
    }
    this.drawFacts(reading);
  }

  private drawLegend({ besideName, model }: Reading): void {
    this.legend.hidden = besideName === null;
    if (besideName === null) return;
    const names = [["main", model.name], ["beside", besideName]].map(([side, name]) =>
      h("span", { class: side! }, name!.replace(/^zoo:/, "")));
    this.legend.replaceChildren(...names);
  }

  /** The classes to show: all of a few, else the likeliest, with the one that is painted. */
  private order({ model, main, before, beside, target }: Reading): number[] {
    const all = [...model.classes.keys()];
    if (all.length <= SHOWN + 2) return all;
    const most = (index: number) => Math.max(...[main, before, beside].map((view) => view?.frame.probabilities[index] ?? 0));
    const order = all.sort((a, b) => most(b) - most(a)).slice(0, SHOWN);
    return target === null || order.includes(target) ? order : [target, ...order.slice(0, SHOWN - 1)];
  }

  private row(index: number, reading: Reading): Row {
    let row = this.rows.get(index);
    const name = reading.model.classes[index] ?? String(index);
    if (!row || row.element.dataset["name"] !== name) {
      row = { element: h("li", { "data-name": name, "data-class": index }), main: h("span", { class: "share" }), beside: h("span", { class: "share beside" }) };
      row.element.append(h("span", { class: "class-name" }, name), row.main, h("span", { class: "bar", "aria-hidden": "true" }),
        row.beside, h("span", { class: "bar beside", "aria-hidden": "true" }));
      this.rows.set(index, row);
    }
    const { main, before, beside } = reading;
    const said = (view: View | undefined) => view?.frame.probabilities[index];
    write(row.main, said(main));
    write(row.beside, reading.besideName === null ? undefined : said(beside));
    row.element.style.setProperty("--main", String(said(main) ?? 0));
    row.element.style.setProperty("--before", String(said(before) ?? 0));
    row.element.style.setProperty("--beside", String(said(beside) ?? 0));
    row.element.classList.toggle("two", reading.besideName !== null);
    row.element.classList.toggle("target", index === reading.target);
    row.element.classList.toggle("likeliest", isTop(main, index));
    return row;
  }

  private drawFacts({ main, trace }: Reading): void {
    const { activation, change } = main?.frame ?? { activation: null, change: 0 };
    this.activation.textContent = activation === null || activation === undefined ? "–" : short(activation);
    this.change.textContent = main ? short(change) : "–";
    this.spark.draw(trace);
  }
}

function isTop(view: View | undefined, index: number): boolean {
  const shares = view?.frame.probabilities;
  return shares !== undefined && shares[index] === Math.max(...shares);
}

function write(element: HTMLElement, share: number | undefined): void {
  element.textContent = share === undefined ? "" : percent(share);
}

/** A line of scores over the steps of a run. */
function sparkline(): { element: HTMLElement; draw(values: number[]): void } {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 200 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  svg.append(path);
  const caption = h("figcaption", {}, "Score over the steps of the run");
  const element = h("figure", { class: "spark", hidden: true }, svg, caption);
  return {
    element,
    draw(values) {
      element.hidden = values.length < 2;
      const [least, most] = [Math.min(...values), Math.max(...values)];
      const points = values.map((value, index) =>
        `${((200 * index) / Math.max(1, values.length - 1)).toFixed(1)} ${(37 - (34 * (value - least)) / (most - least || 1)).toFixed(1)}`);
      path.setAttribute("d", points.length ? `M${points.join("L")}` : "");
      if (values.length > 1) caption.textContent = `Score: ${short(values[0]!)} to ${short(values[values.length - 1]!)}`;
    },
  };
}
