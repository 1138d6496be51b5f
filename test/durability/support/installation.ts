// What is harmed: the product as it is installed, as parts that can be killed, stopped and brought back.
import type { ApiClient } from '../../support/api-client.ts';

export interface Part {
  name: string;
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT; without effect when it does not run. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
  /** Brings it back after `kill`, or sees the product do so. Resolves when it runs. */
  revive(): Promise<void>;
}

export interface Installation {
  name: string;
  parts: Part[];
  partsNamed(names: readonly string[]): Part[];
  /** A way in; with several, the next one at each call. */
  api(): ApiClient;
  /** Resolves when every part serves. */
  untilReady(): Promise<void>;
  /** What its processes have said on standard error. */
  logs(): string;
  stop(): Promise<void>;
}
