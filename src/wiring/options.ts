// The options of the composition root: addresses, secrets and the role of this process.
import type { Logger } from 'pino';
import type { RunBounds } from '../../workflows/protocol.ts';
import type { Resolve } from '../egress/guard.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { Model } from '../models/port.ts';
import type { TemporalAddress } from '../temporal/connection.ts';

/** Options of every process. */
export interface CoreOptions {
  /** A `postgres://` address, or the file of a SQLite database. */
  database: string;
  /** A `redis://` address. Null without Redis. */
  redisUrl: string | null;
  temporal: {
    connection: TemporalAddress;
    namespace: string;
    taskQueue: string;
    /** The address of the Temporal UI, if any. */
    uiUrl: string | null;
    runBounds?: Partial<RunBounds> | undefined;
  };
  catalogue: Catalogue;
  /** Pepper of key hashes, signing key of cursors, encryption key of webhook secrets. */
  secretKey: string;
  /** Private hosts and subnets that webhooks may reach. */
  webhookTargets: readonly string[];
  /** Ports of this machine that webhooks may not reach, whatever `webhookTargets` says. */
  webhookPortsDenied?: readonly number[];
  /** Replaces this machine's name server. */
  resolveName?: Resolve;
  settings: { showPreviews: boolean };
  log: Logger;
  now?: () => number;
}

/** Options of a process that answers HTTP. */
export interface ApiOptions extends CoreOptions {
  version: string;
  settings: CoreOptions['settings'] & {
    syncWaitMs: number;
    rateLimitPerMinute: number;
    trustedProxies: string[];
    corsOrigins: string[];
    /** Allows pages on localhost to call with client tokens, for development. */
    allowLocalPages?: boolean;
    /** The most connections in all. Null: as many as the process has room for. */
    maxConnections?: number | null;
  };
}

/** Options of a process that runs sessions. */
export interface WorkOptions extends CoreOptions {
  temporal: CoreOptions['temporal'] & { bundlePath: string };
  model: Model;
  /** No other process works on this data, so the work of an earlier process is taken over immediately. */
  isOnlyWorker: boolean;
  settings: CoreOptions['settings'] & { sweepIntervalMs?: number };
}

export type SystemOptions = ApiOptions &
  WorkOptions & { settings: ApiOptions['settings'] & WorkOptions['settings'] };
