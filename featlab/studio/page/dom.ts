// Making and finding elements; no markup is written as text, so nothing that a model or plugin is called can be code.

type Child = Node | string | null | false;
type Attributes = Record<string, string | number | boolean | null | ((event: never) => void)>;

/** An element with attributes (functions are listeners, true and false switch an attribute) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K, attributes: Attributes = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value as EventListener);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null) element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== false));
  return element;
}

/** The element with an id, which index.html has. */
export function find<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element ${id}`);
  return element as T;
}

const PATHS: Record<string, string> = {
  brush: "M13.5 2.5 7 9l2 2 6.5-6.5a1.4 1.4 0 0 0-2-2ZM6 10c-2 0-2.5 1.500-2.500 3 0 .8-.7 1.500-1.500 1.500 1 .8 2 1 3 1 2 0 3.500-1.300 3.500-3Z",
  rectangle: "M3 4.500h12v9H3Z",
  eraser: "m8 15-5-5 7-7 5 5-7 7ZM6 6.500l5 5M8 15h7",
  all: "M3 6V3h3M12 3h3v3M15 12v3h-3M6 15H3v-3M6.500 6.500h5v5h-5Z",
  undo: "M6 4 3 7l3 3M3 7h7a4 4 0 0 1 0 8H7",
  redo: "m12 4 3 3-3 3M15 7H8a4 4 0 0 0 0 8h3",
  run: "M5.500 3.500v11l9-5.500Z",
  stop: "M5 5h8v8H5Z",
  plus: "M9 3.500v11M3.500 9h11",
  close: "m4.500 4.500 9 9M13.500 4.500l-9 9",
  image: "M3 3.500h12v11H3ZM3 12l3.500-3.500 3 3L12 9l3 3M11.500 6.500h.01",
  upload: "M9 12V3M5.500 6.500 9 3l3.500 3.500M3 12v3h12v-3",
  grid: "M3 3h5v5H3ZM10 3h5v5h-5ZM3 10h5v5H3ZM10 10h5v5h-5Z",
  open: "M2.500 14.500v-11h5l1.500 2h6.500v9ZM2.500 8h13",
  strokes: "M3 13c3-9 5 3 7-2s3-7 5-6M3 15.500h12",
  save: "M9 3v8M5.500 8 9 11.500 12.500 8M3 13v2h12v-2",
  dice: "M3 3h12v12H3ZM6 6h.01M12 6h.01M9 9h.01M6 12h.01M12 12h.01",
};

/** A line icon of 18 pixels; decoration only, so a button that has one also has a name. */
export function icon(name: keyof typeof PATHS & string): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 18 18");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name] ?? "");
  svg.append(path);
  return svg;
}

/** Make a row of buttons a group of which one is chosen: arrows move, Tab enters and leaves (ARIA radio group). */
export function chooseByArrows(group: HTMLElement): void {
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const all = [...group.querySelectorAll<HTMLButtonElement>("[role=radio], [role=tab]")].filter((each) => !each.disabled);
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const next = at < 0 ? undefined : all[(at + step + all.length) % all.length];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.click();
  });
}

/** Say which of a group's buttons is chosen, to the eye and to a screen reader. */
export function choose(group: HTMLElement, chosen: (button: HTMLButtonElement) => boolean): void {
  const buttons = [...group.querySelectorAll<HTMLButtonElement>("[role=radio], [role=tab]")];
  const any = buttons.some(chosen);
  buttons.forEach((button, index) => {
    const isChosen = chosen(button);
    button.setAttribute(button.getAttribute("role") === "tab" ? "aria-selected" : "aria-checked", String(isChosen));
    button.tabIndex = isChosen || (!any && index === 0) ? 0 : -1;
  });
}

/** Hand a file to the reader. */
export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Text whose `words in backticks` are code, as docstrings write it. */
export function prose(text: string): (Node | string)[] {
  return text.split("`").map((part, index) => (index % 2 === 1 ? h("code", {}, part) : part));
}

export function percent(share: number): string {
  const value = 100 * share;
  return `${value < 9.95 || (value > 99 && value < 99.95) ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** A number with about three digits that say something. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return size === 0 ? "0" : size < 0.01 ? value.toExponential(1) : size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}
