// The protocol of a turn in the store, used by services and activities. Each function is one transaction, except
// `endSession`, which joins the caller's transaction.
import type { ModelUsage } from '../models/port.ts';
import { createAppendText } from './append-text.ts';
import { createBegin } from './begin.ts';
import { openCallOf } from './charge.ts';
import { type CloseDeps, createClose } from './close.ts';
import { createCompleteStep } from './complete-step.ts';
import { createExpireCalls } from './expire-calls.ts';
import { createFailStep } from './fail-step.ts';
import { createRecordLateCall } from './record-late-call.ts';
import { createToolCallResults } from './settle-tool-call.ts';
import { createSnapshot } from './snapshot.ts';
import type { StepWriter } from './step-writer.ts';

export type Turns = ReturnType<typeof createTurns>;

export function createTurns(deps: CloseDeps) {
  return {
    begin: createBegin(deps),
    appendText: createAppendText(deps),
    complete: createCompleteStep(deps),
    failStep: createFailStep(deps),
    recordLateCall: createRecordLateCall(deps),
    /** @param told The call's cost so far, if the provider has reported any. @returns true if the writer holds the fence. */
    renewLease: (writer: StepWriter, told?: ModelUsage): Promise<boolean> =>
      deps.log.renewLease(writer, told && JSON.stringify(openCallOf(deps.catalogue, writer, told))),
    ...createClose(deps),
    expireCalls: createExpireCalls(deps),
    ...createToolCallResults(deps),
    snapshot: createSnapshot(deps),
  };
}
