// Messages: accepted once, completed by one reply, readable at any time.
import type { Kysely } from 'kysely';
import type { Tables } from '../../stores/schema.ts';
import type { MessagesService } from '../ports.ts';
import { type AcceptCallDeps, createAccept } from './accept.ts';
import { createFollow, type FollowDeps } from './follow.ts';
import { createReads } from './read.ts';
import { createMessageReader } from './reader.ts';
import { createBehindWaitingTurn, createWait, type WaitDeps } from './wait.ts';

export type MessagesDeps = Omit<AcceptCallDeps & WaitDeps & FollowDeps, 'reader'> & { db: Kysely<Tables> };

export function createMessages(deps: MessagesDeps): MessagesService {
  const shared = { ...deps, reader: createMessageReader(deps.db) };
  return {
    accept: createAccept(shared),
    waitForReply: createWait(shared),
    behindWaitingTurn: createBehindWaitingTurn(shared),
    followReply: createFollow(shared),
    ...createReads(shared),
  };
}
