// Ends a try of a model step that has failed, and the reply when no further try can help.
import { messageError } from '../contracts/errors.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { ModelCallError } from '../models/port.ts';
import { countFailedCalls, type SessionLog } from '../stores/log.ts';
import { addUsage, type MessageRow, type SessionRow } from '../stores/schema.ts';
import { charge, openCallOf } from './charge.ts';
import { closeReply } from './close.ts';
import { fenced, type StepWriter } from './step-writer.ts';

/** A provider that failed this often in one step has failed the turn. */
export const MODEL_ERRORS_MAX = 6;

export type StepFailure =
  | { final: false; failures: number }
  | { final: true; reply: MessageRow; session: SessionRow };

export const createFailStep = ({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) =>
  /**
   * Records a failed model call; the reply fails with it when no further try can help.
   * @returns `final` with the closed reply, or how often the step has failed; undefined for a refused writer.
   */
  function failStep(writer: StepWriter, failure: ModelCallError): Promise<StepFailure | undefined> {
    return fenced(log, writer, async (tx, open): Promise<StepFailure> => {
      const failures = 1 + (await countFailedCalls(tx.rows, writer.replyId, writer.step));
      const call = openCallOf(catalogue, writer, failure.usage);
      const end = { outcome: 'failed', errorCode: failure.code } as const;
      const total = addUsage(open, await charge(tx, call, end));
      await tx.messages.update(open.id, total);
      if (failure.retryable && failures < MODEL_ERRORS_MAX) return { final: false, failures };
      const error = messageError(failure.code, failure.message);
      const reply = await closeReply(tx, { ...open, ...total }, { status: 'failed', error });
      return { final: true, reply, session: tx.session };
    });
  };
