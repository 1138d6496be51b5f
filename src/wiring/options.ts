// What the composition root is told: where everything is, and what this process is to do.
import type { Logger } from 'pino';
import type { RunBounds } from '../../workflows/protocol.ts';
import type { Resolve } from '../egress/guard.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { Model } from '../models/port.ts';
import type { TemporalAddress } from '../temporal/connection.ts';

/** What every process needs, whatever it does. */
export interface CoreOptions {
  /** A `postgres://` address, or the file of a SQLite database. */
  database: string;
  /** A `redis://` address; null without one. */
  redisUrl: string | null;
  temporal: {
    connection: TemporalAddress;
    namespace: string;
    taskQueue: string;
    /** Where people see Temporal, if anywhere. */
    uiUrl: string | null;
    runBounds?: Partial<RunBounds> | undefined;
  };
  catalogue: Catalogue;
  /** Pepper of key hashes, what cursors are signed with, what secrets of webhooks are kept under. */
  secretKey: string;
  /** Hosts and subnets that webhooks may reach although they are private. */
  webhookTargets: readonly string[];
  /** Ports of this machine that they may not reach, whatever `webhookTargets` says. */
  webhookPortsDenied?: readonly number[];
  /** Instead of this machine's name server. */
  resolveName?: Resolve;
  settings: { showPreviews: boolean };
  log: Logger;
  now?: () => number;
}

/** A process that answers HTTP. */
export interface ApiOptions extends CoreOptions {
  version: string;
  settings: CoreOptions['settings'] & {
    syncWaitMs: number;
    rateLimitPerMinute: number;
    trustedProxies: string[];
    corsOrigins: string[];
    /** Pages on localhost may call with client tokens: for development. */
    allowLocalPages?: boolean;
    /** Connections in all; null: as many as the process has room for. */
    maxConnections?: number | null;
  };
}

/** A process that works on sessions. */
export interface WorkOptions extends CoreOptions {
  temporal: CoreOptions['temporal'] & { bundlePath: string };
  model: Model;
  /** No other process works on this data: what an earlier one had under way is taken over at once. */
  isOnlyWorker: boolean;
  settings: CoreOptions['settings'] & { sweepIntervalMs?: number };
}

export type SystemOptions = ApiOptions &
  WorkOptions & { settings: ApiOptions['settings'] & WorkOptions['settings'] };
