// Keeps what earlier turns rendered of a conversation: finished messages never change, so a turn renders only what is new,
// however long the conversation is.
import { stringifyJson } from '../src/contracts/json.ts';
import type { ModelMessage } from '../src/models/port.ts';

/** Some thousand turns of usual length; a worker's memory must not grow with its sessions. */
const SIZE_BYTES_MAX = 64 * 1024 * 1024;
/** What an entry costs beside its text. */
const ENTRY_BYTES = 300;
/** The message, and the text that the adapter remembers with it. */
const BYTES_PER_UNIT = 4;

export interface RenderedMessage {
  id: string;
  parentId: string | null;
  /** What the model is shown of it: nothing, one message, or a step and its results several times. */
  messages: ModelMessage[];
  standing: Standing;
}

/** Of a reply: whether its turn is shown to the model again. */
export type Standing = 'good' | 'suspect' | 'refused';

const sizeOf = ({ messages }: RenderedMessage): number =>
  ENTRY_BYTES + BYTES_PER_UNIT * stringifyJson(messages).length;

/** Forgets the messages that were used longest ago. */
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
