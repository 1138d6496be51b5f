// Handles pieces of input whose index matches no open call. Some gateways number deltas and blocks differently or send no
// index. Others send a piece before the start or after the stop of its block. A dropped piece would run the tool with an empty
// input.
import type { RawBlock } from './clean-block.ts';
import { isRecord } from './tool-input.ts';

/** Replaces the input of each call when the stray pieces fit several calls. No tool runs with an unreadable input. */
const AMBIGUOUS = '(the pieces of input do not name their calls)';

const isBlank = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  (typeof value === 'string' && value.trim() === '') ||
  (isRecord(value) && Object.keys(value).length === 0);

const hasNoInput = ({ started, json }: RawBlock): boolean => isBlank(json) && isBlank(started.input);

export function createStrayInput() {
  const calls: RawBlock[] = [];
  /** The pieces received before the first call. */
  let early = '';
  let hasPieces = false;
  let isAmbiguous = false;

  return {
    /** Takes each block of a call, in the order of their starts. */
    start(call: RawBlock): void {
      calls.push(call);
    },
    /** Adds the piece to the latest call. A gateway sends the input of one call before the start of the next call. */
    add(piece: string): void {
      if (piece === '') return;
      hasPieces = true;
      const latest = calls.at(-1);
      if (latest === undefined) {
        early += piece;
        return;
      }
      if (latest.json === '' && calls.some((call) => call !== latest && hasNoInput(call))) isAmbiguous = true;
      latest.json += piece;
    },
    /** Settles the pieces when all calls are known: the only call owns each piece. */
    settle(): void {
      const [first] = calls;
      if (!hasPieces || first === undefined) return;
      if (calls.length === 1) first.json = early + first.json;
      else if (isAmbiguous || early !== '' || calls.some(hasNoInput))
        for (const call of calls) if (call.started.type === 'tool_use') call.json = AMBIGUOUS;
      early = '';
    },
  };
}
