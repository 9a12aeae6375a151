// Sentences that appear at the foot of the page and go by themselves.

import { find, h, icon } from "./dom";

const STAYS_MS = 9000;
const MOST = 3;

/** Tell the reader something; the same sentence stands there once. */
export function toast(message: string): void {
  const close = h("button", { type: "button", class: "icon-button", "aria-label": "Dismiss" }, icon("close"));
  const element = h("div", { class: "toast" }, h("p", {}, message), close);
  close.addEventListener("click", () => element.remove());
  const toasts = find("toasts");
  for (const old of [...toasts.children]) if (old.textContent === message) old.remove();
  while (toasts.childElementCount >= MOST) toasts.firstElementChild!.remove();
  toasts.append(element);
  setTimeout(() => element.remove(), STAYS_MS);
}

/** Do something, and tell the reader where it fails. */
export async function guarded(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    toast((error as Error).message);
  }
}
