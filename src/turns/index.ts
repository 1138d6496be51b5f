// The protocol of a turn in the store: every function is one transaction, called by services and by activities.
import { createBegin } from './begin.ts';
import { type CloseDeps, createClose } from './close.ts';
import { createSnapshot } from './snapshot.ts';
import { createWrite } from './write.ts';

export type Turns = ReturnType<typeof createTurns>;

export function createTurns(deps: CloseDeps) {
  const { appendText, complete, failStep, renewLease } = createWrite(deps);
  return {
    begin: createBegin(deps),
    appendText,
    complete,
    failStep,
    renewLease,
    ...createClose(deps),
    snapshot: createSnapshot(deps),
  };
}
