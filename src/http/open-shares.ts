// Counts the streams, WebSockets and waiting calls of each client, so that no client can hold all connections.
import { ApiError } from '../contracts/errors.ts';
import type { Caller } from '../services/ports.ts';
import type { Capacity } from './capacity.ts';

const RETRY_AFTER_SECONDS = 5;

interface Share {
  bucket: string;
  max: number;
  holder: string;
}

export type OpenShares = ReturnType<typeof createOpenShares>;

export function createOpenShares(capacity: Capacity) {
  const open = new Map<string, number>();

  const sharesOf = ({ keyId, grant }: Caller, network: string): Share[] => [
    ...(grant
      ? [{ bucket: `token:${grant.tokenId}`, max: capacity.openPerToken, holder: 'This client token' }]
      : []),
    { bucket: `key:${keyId}`, max: capacity.openPerKey, holder: 'This API key' },
    { bucket: `network:${network}`, max: capacity.openPerNetwork, holder: 'This network address' },
  ];

  function leave(shares: readonly Share[]): void {
    for (const { bucket } of shares) {
      const left = (open.get(bucket) ?? 1) - 1;
      if (left > 0) open.set(bucket, left);
      else open.delete(bucket);
    }
  }

  return {
    /** @returns a function that ends the count, to be called once. @throws ApiError `rate_limited` */
    enter(caller: Caller, network: string): () => void {
      const shares = sharesOf(caller, network);
      const full = shares.find(({ bucket, max }) => (open.get(bucket) ?? 0) >= max);
      if (full) throw tooMany(full);
      for (const { bucket } of shares) open.set(bucket, (open.get(bucket) ?? 0) + 1);
      return () => leave(shares);
    },
  };
}

const tooMany = ({ holder, max }: Share) =>
  new ApiError(
    'rate_limited',
    `${holder} has ${max} streams, WebSockets and waiting calls open, which is its maximum; close some and retry`,
    { retryAfterSeconds: RETRY_AFTER_SECONDS },
  );
