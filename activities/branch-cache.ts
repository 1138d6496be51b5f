// Caches rendered messages of earlier turns. Finished messages never change, so a turn renders only new messages, even
// in a long conversation.
import { stringifyJson } from '../src/contracts/json.ts';
import type { ModelMessage } from '../src/models/port.ts';

/** About a thousand turns of usual length. A worker's memory must not grow with its sessions. */
const SIZE_BYTES_MAX = 64 * 1024 * 1024;
/** Overhead of an entry besides its text. */
const ENTRY_BYTES = 300;
/** Bytes per UTF-16 unit, for the message and the text that the adapter caches with the message. */
const BYTES_PER_UNIT = 4;

export interface RenderedMessage {
  id: string;
  parentId: string | null;
  /** The message as the model sees it: nothing, one message, or a step and its results several times. */
  messages: ModelMessage[];
  standing: Standing;
}

/** Whether a reply's turn is shown to the model again. */
export type Standing = 'good' | 'suspect' | 'refused';

const sizeOf = ({ messages }: RenderedMessage): number =>
  ENTRY_BYTES + BYTES_PER_UNIT * stringifyJson(messages).length;

/** An LRU cache of rendered messages, bounded by size. */
export function createBranchCache(sizeBytesMax = SIZE_BYTES_MAX) {
  const entries = new Map<string, { rendered: RenderedMessage; sizeBytes: number }>();
  let sizeBytes = 0;

  function forgetOldest(): void {
    for (const [id, entry] of entries) {
      if (sizeBytes <= sizeBytesMax) return;
      entries.delete(id);
      sizeBytes -= entry.sizeBytes;
    }
  }

  return {
    get(id: string): RenderedMessage | undefined {
      const entry = entries.get(id);
      if (!entry) return undefined;
      entries.delete(id);
      entries.set(id, entry);
      return entry.rendered;
    },
    put(rendered: RenderedMessage): void {
      if (entries.has(rendered.id)) return;
      const entry = { rendered, sizeBytes: sizeOf(rendered) };
      entries.set(rendered.id, entry);
      sizeBytes += entry.sizeBytes;
      forgetOldest();
    },
  };
}
