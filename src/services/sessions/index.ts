// Sessions: created with their workflow, changed for the next turn, ended once.
import type { SessionsService } from '../ports.ts';
import { type CreateDeps, createCreate } from './create.ts';
import { createEnds, type EndDeps } from './end.ts';
import { createInterrupt, type InterruptDeps } from './interrupt.ts';
import { createReads, type ReadDeps } from './read.ts';
import { createUpdate, type UpdateDeps } from './update.ts';

export type SessionsDeps = Omit<CreateDeps & ReadDeps & UpdateDeps & EndDeps & InterruptDeps, 'show'>;

export function createSessions(deps: SessionsDeps): SessionsService {
  const { show, get, state, list } = createReads(deps);
  const shared = { ...deps, show };
  return {
    create: createCreate(shared),
    get,
    state,
    list,
    update: createUpdate(shared),
    ...createEnds(shared),
    interrupt: createInterrupt(deps),
  };
}
