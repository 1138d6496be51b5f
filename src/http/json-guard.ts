// Refuses well-formed but harmful JSON: too deep, with text no store can hold, with keys that reach a prototype.
import { ApiError } from '../contracts/errors.ts';
import { isBeyondDouble, isContainer, isNumber } from '../contracts/json.ts';
import type { PathFormat, PathSegment } from './field-path.ts';

/** JSON.stringify and structuredClone fail at some thousand levels. People need a dozen. */
export const DEPTH_MAX = 64;

interface Frame {
  container: Record<string, unknown> | unknown[];
  /** Null for an array, whose keys are indexes. */
  keys: string[] | null;
  next: number;
}

const frameOf = (container: object): Frame => ({
  container: container as Frame['container'],
  keys: Array.isArray(container) ? null : Object.keys(container),
  next: 0,
});

const sizeOf = (frame: Frame): number => frame.keys?.length ?? (frame.container as unknown[]).length;

const keyAt = (frame: Frame, index: number): PathSegment => frame.keys?.[index] ?? index;

const pathOf = (frames: readonly Frame[]): PathSegment[] =>
  frames.map((frame) => keyAt(frame, frame.next - 1));

/** The reason why a text can't be stored: PostgreSQL's jsonb refuses both, and half of a surrogate pair has no UTF-8. */
function textFault(text: string): string | null {
  if (text.includes('\u0000')) return 'must not contain the NUL character';
  if (!text.isWellFormed()) return 'must not contain half of a surrogate pair';
  return null;
}

function faultOf(key: PathSegment, value: unknown, depth: number): string | null {
  if (typeof key === 'string') {
    if (key === '__proto__') return 'has a reserved name';
    const fault = textFault(key);
    if (fault) return `has a name that ${fault}`;
  }
  if (typeof value === 'string') return textFault(value);
  // Such as 1e400, which JSON allows and few programs can read.
  if (isNumber(value) && isBeyondDouble(value)) return 'must be a number between -1.8e308 and 1.8e308';
  if (isContainer(value) && depth >= DEPTH_MAX) return `is nested deeper than ${DEPTH_MAX} levels`;
  return null;
}

interface GuardNames {
  noun: 'field' | 'parameter';
  path: PathFormat;
}

/**
 * Walks the whole value once, without recursion, with one frame per level.
 * @throws ApiError `invalid_request` naming the first fault.
 */
export function guardJson(root: object, { noun, path }: GuardNames): void {
  const frames = [frameOf(root)];
  for (let frame = frames.at(-1); frame; frame = frames.at(-1)) {
    if (frame.next >= sizeOf(frame)) {
      frames.pop();
      continue;
    }
    const key = keyAt(frame, frame.next++);
    const value = (frame.container as Record<PathSegment, unknown>)[key];
    const fault = faultOf(key, value, frames.length);
    if (fault) {
      const param = path(pathOf(frames));
      throw new ApiError('invalid_request', `The '${param}' ${noun} ${fault}`, { param });
    }
    if (isContainer(value)) frames.push(frameOf(value));
  }
}
