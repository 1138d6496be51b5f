// The protocol of a turn in the store, called by services and by activities: every function is one transaction,
// but for `endSession`, which joins its caller's.
import { createAppendText } from './append-text.ts';
import { createBegin } from './begin.ts';
import { type CloseDeps, createClose } from './close.ts';
import { createCompleteStep } from './complete-step.ts';
import { createFailStep } from './fail-step.ts';
import { createSnapshot } from './snapshot.ts';
import type { StepWriter } from './step-writer.ts';

export type Turns = ReturnType<typeof createTurns>;

export function createTurns(deps: CloseDeps) {
  return {
    begin: createBegin(deps),
    appendText: createAppendText(deps),
    complete: createCompleteStep(deps),
    failStep: createFailStep(deps),
    renewLease: ({ sessionId, fence }: StepWriter): Promise<boolean> => deps.log.renewLease(sessionId, fence),
    ...createClose(deps),
    snapshot: createSnapshot(deps),
  };
}
