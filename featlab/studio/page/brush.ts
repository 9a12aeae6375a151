// The preview of a stroke's mask. The mask that counts is drawn in Python (featlab/painting.py); this is its formula.

import type { Point, Stroke } from "./protocol";

/** The mask of a stroke, row by row, each pixel from 0 to 1 by the distance of its centre. */
export function maskOf(stroke: Stroke, width: number, height: number): Float32Array {
  const mask = new Float32Array(width * height);
  if (stroke.tool === "all") return mask.fill(1);
  const [inside, edge] = stroke.tool === "rectangle" ? inRectangle(stroke) : nearLine(stroke);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) mask[y * width + x] = covered(inside(x + 0.5, y + 0.5), edge);
  }
  return mask;
}

type Inside = (x: number, y: number) => number;

/** 1 well inside, 0 outside, and in between over a soft edge that is `edge` wide. */
function covered(inside: number, edge: number): number {
  if (edge <= 0) return inside >= 0 ? 1 : 0;
  return Math.min(1, Math.max(0, inside / edge));
}

/** How far inside a brush's line a pixel lies, and how wide the soft edge is. */
function nearLine({ points, radius, softness }: Stroke): [Inside, number] {
  const distance = fromLine(points);
  return [(x, y) => radius - distance(x, y), softness * radius];
}

function fromLine(points: Point[]): Inside {
  return (x, y) => {
    let least = Infinity;
    for (let i = 0; i < points.length; i++) {
      least = Math.min(least, toSegment(x, y, points[Math.max(0, i - 1)]!, points[i]!));
    }
    return Math.sqrt(least);
  };
}

/** The squared distance of (x, y) to the segment from `a` to `b`. */
function toSegment(x: number, y: number, a: Point, b: Point): number {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - a[0]) * dx + (y - a[1]) * dy) / length));
  return (x - a[0] - along * dx) ** 2 + (y - a[1] - along * dy) ** 2;
}

/** How far inside a rectangle a pixel lies; its soft edge is part of half the shorter side. */
function inRectangle({ points, softness }: Stroke): [Inside, number] {
  const a: Point = points[0] ?? [0, 0];
  const b: Point = points[points.length - 1] ?? a;
  const [left, right] = [Math.min(a[0], b[0]), Math.max(a[0], b[0])];
  const [top, bottom] = [Math.min(a[1], b[1]), Math.max(a[1], b[1])];
  const inside = (x: number, y: number) => Math.min(x - left, right - x, y - top, bottom - y);
  return [inside, (softness * Math.min(right - left, bottom - top)) / 2];
}

/** A path without the points that add nothing: nearer than `least` pixels to the one before. */
export function thinned(points: Point[], least: number): Point[] {
  const kept: Point[] = [];
  for (const point of points) {
    const last = kept[kept.length - 1];
    if (!last || Math.hypot(point[0] - last[0], point[1] - last[1]) >= least) kept.push(point);
  }
  return kept;
}

/** A point as it is written into a painting: hundredths of a pixel are enough. */
export function rounded([x, y]: Point): Point {
  return [Math.round(x * 100) / 100, Math.round(y * 100) / 100];
}
