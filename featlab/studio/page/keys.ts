// The page by keys alone.

import type { Tools } from "./controls";
import type { Painter } from "./painter";
import type { Session } from "./session";
import type { Stage } from "./stage";

/** Shortcuts, where no text is being written. */
export function listenToShortcuts(tools: Tools, painter: Painter, session: Session, undo: (by: number) => void): void {
  const plain: Record<string, () => void> = {
    b: () => tools.take("brush"), r: () => tools.take("rectangle"), e: () => tools.take("eraser"), a: () => tools.take("all"),
    "[": () => tools.resize(0.85), "]": () => tools.resize(1.18), escape: () => session.stop(), enter: () => painter.press(),
  };
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    const key = event.key.toLowerCase();
    if (event.altKey || target.closest("dialog, input:not([type=range], [type=checkbox]), select, textarea")) return;
    if (key === "enter" && target.closest("button, a, summary")) return;
    const commands: Record<string, () => void> = { z: () => undo(event.shiftKey ? 1 : -1), y: () => undo(1) };
    const action = (event.ctrlKey || event.metaKey ? commands : plain)[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

const WAYS: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Painting by keys: arrows move the brush, Shift faster; Space held down paints. */
export function listenToBrushKeys(stage: Stage, painter: Painter, session: Session): void {
  const { board } = stage;
  const where = () => painter.move([[...painter.cursor]]);
  board.tabIndex = 0;
  board.setAttribute("role", "application");
  board.setAttribute("aria-label", "Picture. Arrow keys move the brush, Space held down paints, Enter runs, Escape stops.");
  board.addEventListener("focus", () => board.matches(":focus-visible") && where());
  board.addEventListener("blur", () => painter.leave());
  board.addEventListener("keyup", (event) => event.key === " " && painter.up());
  board.addEventListener("keydown", (event) => {
    const way = WAYS[event.key];
    if (event.key === " " && !event.repeat) painter.down([...painter.cursor]);
    if (event.key === " " || way) event.preventDefault();
    if (!way) return;
    const [, height, width] = session.model.shape;
    const by = (event.shiftKey ? 4 : 1) * Math.max(1, Math.round(width / 64));
    const within = (value: number, most: number) => Math.min(most, Math.max(0, value));
    painter.cursor = [within(painter.cursor[0] + by * way[0], width), within(painter.cursor[1] + by * way[1], height)];
    where();
  });
}
