// A gesture of the hand, by pointer or by keys, and what it becomes: a shape while it is drawn, runs as it grows.

import { rounded, thinned } from "./brush";
import type { Point, Tool } from "./protocol";

/** Where a stroke is. */
export interface Shape {
  tool: Tool;
  points: Point[];
  radius: number;
  softness: number;
}

export interface HandEvents {
  /** Whether a gesture may begin. */
  begins(tool: Tool): boolean;
  /** The shape has grown. */
  grew(shape: Shape): void;
  /** It is time to run what there is; `isFirst` says that the gesture has not run yet. */
  runs(shape: Shape, isFirst: boolean): void;
  /** The hand has let go; `ran` says how much of the shape has been run. */
  ended(shape: Shape, ran: "all" | "part" | "none"): void;
}

/** A shape that grows is run anew at most so often. */
const AGAIN_MS = 250;

export class Gesture {
  private shape: Shape | null = null;
  private lastRun = 0;
  private ranPoints = 0;
  private runs = 0;
  private timer = 0;

  constructor(private readonly events: HandEvents) {}

  get isOn(): boolean {
    return this.shape !== null;
  }

  begin(point: Point, tool: Tool, radius: number, softness: number): void {
    if (this.shape || !this.events.begins(tool)) return;
    this.shape = { tool, points: tool === "all" ? [] : [rounded(point)], radius, softness };
    [this.lastRun, this.ranPoints, this.runs] = [0, 0, 0];
    this.events.grew(this.shape);
    if (tool !== "rectangle") this.run();
  }

  move(points: Point[]): void {
    const shape = this.shape;
    if (!shape || shape.tool === "all") return;
    const next = points.map(rounded);
    if (shape.tool === "rectangle") shape.points = [shape.points[0]!, next[next.length - 1] ?? shape.points[0]!];
    else shape.points = thinned([...shape.points, ...next], 0.25);
    this.events.grew(shape);
    this.schedule();
  }

  end(): void {
    const shape = this.shape;
    if (!shape) return;
    clearTimeout(this.timer);
    this.shape = null;
    if (shape.tool === "rectangle" && isEmpty(shape.points)) return this.events.grew({ ...shape, points: [] });
    this.events.ended(shape, this.runs === 0 ? "none" : this.ranPoints === this.size(shape) ? "all" : "part");
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.shape = null;
  }

  private schedule(): void {
    const shape = this.shape!;
    if (shape.tool === "rectangle" && isEmpty(shape.points)) return;
    if (this.size(shape) === this.ranPoints) return;
    clearTimeout(this.timer);
    const wait = (shape.tool === "eraser" ? AGAIN_MS / 4 : AGAIN_MS) - (performance.now() - this.lastRun);
    if (wait <= 0) this.run();
    else this.timer = window.setTimeout(() => this.shape && this.run(), wait);
  }

  private run(): void {
    const shape = this.shape!;
    this.lastRun = performance.now();
    this.ranPoints = this.size(shape);
    this.events.runs({ ...shape, points: [...shape.points] }, this.runs++ === 0);
  }

  /** A number that changes whenever the shape does. */
  private size({ tool, points }: Shape): number {
    const last = points[points.length - 1];
    return tool === "rectangle" && last ? last[0] * 1e6 + last[1] : Math.max(1, points.length);
  }
}

function isEmpty(points: Point[]): boolean {
  const [a, b] = [points[0], points[points.length - 1]];
  return !a || !b || Math.abs(a[0] - b[0]) < 0.5 || Math.abs(a[1] - b[1]) < 0.5;
}
