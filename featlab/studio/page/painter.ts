// Painting: a gesture becomes strokes, with what is chosen on the page, and they are run.

import type { Settings, Tools } from "./controls";
import { find } from "./dom";
import { Gesture } from "./hand";
import type { Shape } from "./hand";
import type { Palette } from "./palette";
import type { Point, Stroke, Tool } from "./protocol";
import type { Session, View } from "./session";
import type { Stage } from "./stage";
import { toast } from "./toasts";

/** While a shape still grows, frames of its next run are not drawn until they are as far as those before, or so far. */
const CATCH_UP = 12;
/** After so long without moving, the hand is still, and the tint gives way to the image. */
const STILL_MS = 300;

export class Painter {
  cursor: Point = [14, 14];
  /** Where was painted last, to be run again. */
  shape: Shape | null = null;
  /** Whether the shape waits for the button. */
  isPending = false;
  private reached = 0;
  private lastGrown = 0;
  private readonly gesture: Gesture;

  constructor(
    private readonly session: Session, private readonly palette: Palette, private readonly tools: Tools,
    private readonly settings: Settings, private readonly stages: Stage[], private readonly most: number,
    private readonly changed: () => void,
  ) {
    this.gesture = new Gesture({
      begins: (tool) => this.begins(tool),
      grew: (shape) => this.grew(shape),
      runs: (shape, isFirst) => this.isLive(shape.tool) && this.run(shape, !isFirst),
      ended: (shape, runs) => this.ended(shape, runs),
    });
  }

  get isDrawing(): boolean {
    return this.gesture.isOn;
  }

  down(point: Point): void {
    this.cursor = point;
    this.gesture.begin(point, this.tools.tool, this.tools.radius, this.tools.softness);
  }

  move(points: Point[]): void {
    const point = points[points.length - 1];
    if (!point) return;
    const { tool, radius } = this.tools;
    this.stages.forEach((stage) => stage.ring(tool === "all" ? null : { point, radius: tool === "rectangle" ? 0 : radius }));
    this.gesture.move(points);
  }

  up(): void {
    this.gesture.end();
  }

  leave(): void {
    this.stages.forEach((stage) => stage.ring(null));
  }

  /** Whether a frame of the run is to be drawn now; the tint fades once the hand is still. */
  draws({ frame }: View): boolean {
    const isStill = !this.gesture.isOn || performance.now() - this.lastGrown > STILL_MS;
    if (this.gesture.isOn && frame.number < Math.min(this.reached, CATCH_UP)) return false;
    this.reached = Math.max(this.reached, frame.number);
    if (isStill) this.stages.forEach((stage) => stage.fade());
    return true;
  }

  /** Run where was painted last, or on the whole image; or stop what runs. */
  press(): void {
    if (this.session.isRunning) return this.session.stop();
    const wish = this.palette.wish();
    const whole: Shape = { tool: "all", points: [], radius: this.tools.radius, softness: 0 };
    const usesMask = "missing" in wish || wish.needsMask;
    this.run(usesMask && this.shape ? this.shape : whole, false);
  }

  /** Forget what waits to be run; with `isAll`, where was painted last too. */
  forget(isAll: boolean): void {
    this.isPending = false;
    if (isAll) this.shape = null;
    this.stages.forEach((stage) => stage.tint(null));
  }

  private begins(tool: Tool): boolean {
    if (!this.session.moments[this.session.at]?.views.has(this.session.model.name)) return false;
    this.stages.forEach((stage) => stage.tint(null));
    this.reached = 0;
    const wish = this.palette.wish();
    if (tool === "eraser" || !("missing" in wish)) return true;
    toast(wish.missing);
    return false;
  }

  private grew(shape: Shape): void {
    this.lastGrown = performance.now();
    const hasMask = shape.points.length > 0;
    this.stages.forEach((stage) => stage.tint(hasMask ? strokeOf(shape) : null));
  }

  /** Whether a gesture runs by itself; a task only takes the mask from it. */
  private isLive(tool: Tool): boolean {
    return tool === "eraser" || (this.settings.isLive && this.palette.mode !== "task");
  }

  private ended(shape: Shape, runs: "all" | "part" | "none"): void {
    const { isHeld } = this.settings;
    this.shape = shape.tool === "eraser" || shape.tool === "all" ? null : shape;
    if (!this.isLive(shape.tool)) this.isPending = shape.tool !== "all";
    else if (runs !== "all") this.run(shape, runs === "part", isHeld && this.reached > 0 ? this.reached : undefined);
    else if (isHeld) this.session.stop();
    this.changed();
  }

  /** Run a shape with what is chosen; `replaces` says that it is the same gesture as the run before. */
  private run(shape: Shape, replaces: boolean, steps = this.settings.stepsValue): void {
    try {
      const [stroke, label] = this.strokeFor(shape, steps);
      this.session.run(stroke, label, replaces);
      find("status").textContent = "Running…";
      this.isPending = false;
    } catch (error) {
      this.gesture.cancel();
      toast((error as Error).message);
    }
  }

  /** The stroke of a shape, and a name for it. A seed other than the painting's stands in the stroke. */
  private strokeFor(shape: Shape, steps: number): [Stroke, string] {
    if (shape.tool === "eraser") return [strokeOf(shape), "Eraser"];
    const wish = this.palette.wish();
    if ("missing" in wish) throw new Error(wish.missing);
    const { target, task, label } = wish;
    const base = { ...strokeOf(shape), ...(target ? { target } : {}) };
    if (this.session.moments.length === 1) this.session.seed = this.settings.seedValue;
    if (task) return [{ ...base, task, options: wish.options ?? {}, steps: this.most }, label];
    const seed = this.settings.seedValue;
    const options = { ...(seed === this.session.seed ? {} : { seed }), ...this.settings.more };
    const others = Object.keys(options).length > 0 ? { options } : {};
    return [{ ...base, ...this.settings.strength(), ...others, steps }, label];
  }
}

function strokeOf(shape: Shape): Stroke {
  return { ...shape, steps: 0 };
}
