// Writes streamed text in groups: the first immediately, later groups as fast as the store allows.
import type { StepWriter } from '../src/turns/step-writer.ts';

/** Minimum interval between groups while text keeps coming. Readers don't notice, and the store writes far less. */
const GROUP_INTERVAL_MS = 20;

export interface DeltaWriterDeps {
  writer: StepWriter;
  /** @param after UTF-16 units written before. @returns false when another writer has taken over. */
  appendText: (writer: StepWriter, text: string, after: number) => Promise<boolean>;
  /** Called once when a write was refused or has failed. Writing stops after the call. */
  onStopped: (reason: 'refused' | { error: unknown }) => void;
}

function after(waitMs: number, work: () => void): () => void {
  const timer = setTimeout(work, waitMs);
  return () => clearTimeout(timer);
}

/** Text from one packet forms one group. A reply that arrives whole is written with its end. */
function afterWhatIsHere(work: () => void): () => void {
  const immediate = setImmediate(work);
  return () => clearImmediate(immediate);
}

export function createDeltaWriter({ writer, appendText, onStopped }: DeltaWriterDeps) {
  let buffer = '';
  let written = 0;
  let stopped = false;
  let lastWriteMs = 0;
  let cancelTimer: (() => void) | undefined;
  let writing: Promise<void> = Promise.resolve();
  let busy = false;

  function stop(reason: 'refused' | { error: unknown }): void {
    if (stopped) return;
    stopped = true;
    onStopped(reason);
  }

  async function write(): Promise<void> {
    const text = buffer;
    buffer = '';
    try {
      if (!(await appendText(writer, text, written))) stop('refused');
      written += text.length;
    } catch (error) {
      stop({ error });
    }
    lastWriteMs = Date.now();
    busy = false;
    schedule();
  }

  function flush(): void {
    cancelTimer = undefined;
    if (stopped || busy || buffer === '') return;
    busy = true;
    writing = write();
  }

  function schedule(): void {
    if (stopped || busy || cancelTimer || buffer === '') return;
    const waitMs = lastWriteMs + GROUP_INTERVAL_MS - Date.now();
    cancelTimer = waitMs <= 0 ? afterWhatIsHere(flush) : after(waitMs, flush);
  }

  function stopTimer(): void {
    cancelTimer?.();
    cancelTimer = undefined;
  }

  return {
    push(text: string): void {
      buffer += text;
      schedule();
    },
    /** Ends the writing. @returns the unwritten text, for the transaction that ends the step. */
    async rest(): Promise<string> {
      stopTimer();
      await writing;
      stopTimer();
      const text = buffer;
      buffer = '';
      stopped = true;
      return text;
    },
  };
}
