// Ends a failed attempt of a model step, and the reply when no further attempt can help.
import { type MessageErrorCode, messageError } from '../contracts/errors.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { ModelUsage } from '../models/port.ts';
import { countFailedCalls, findModelCall, type SessionLog, type SessionTransaction } from '../stores/log.ts';
import { addUsage, type MessageRow, type SessionRow } from '../stores/schema.ts';
import { charge, openCallOf } from './charge.ts';
import { closeReply, storably } from './close.ts';
import { fenced, type StepWriter } from './step-writer.ts';

/** Failures of one step, after which the turn fails. */
export const MODEL_ERRORS_MAX = 6;

/** Every retry after an internal failure pays for another reply, and the store usually refuses the same content again. */
const INTERNAL_ERRORS_MAX = 3;

/** The allowed number of failed attempts for an error code. */
export const errorsMax = (code: MessageErrorCode): number =>
  code === 'internal_error' ? INTERNAL_ERRORS_MAX : MODEL_ERRORS_MAX;

/** Why an attempt failed: a `ModelCallError`, or a failure of the server itself. */
export interface FailedTry {
  code: MessageErrorCode;
  /** Shown to the session's user. */
  message: string;
  retryable: boolean;
  usage: ModelUsage;
}

export type StepFailure =
  | { final: false; failures: number }
  | { final: true; reply: MessageRow; session: SessionRow };

/** Used when the store refuses the message. */
const PLAIN_MESSAGE = 'This step of the reply failed, and its reason could not be stored';

async function isLastTry(tx: SessionTransaction, { replyId, step }: StepWriter, failed: FailedTry) {
  const before = await countFailedCalls(tx.rows, replyId, step);
  const failures = 1 + [...before.values()].reduce((sum, count) => sum + count, 0);
  const internal = (before.get('internal_error') ?? 0) + (failed.code === 'internal_error' ? 1 : 0);
  const isLast = !failed.retryable || failures >= MODEL_ERRORS_MAX || internal >= INTERNAL_ERRORS_MAX;
  return { isLast, failures: failed.code === 'internal_error' ? internal : failures };
}

export const createFailStep = ({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) =>
  /**
   * Records a failed attempt. The reply fails too when no further attempt can help.
   * @returns `final` with the closed reply, or the number of failures of the step. Undefined for a refused writer.
   */
  function failStep(writer: StepWriter, failed: FailedTry): Promise<StepFailure | undefined> {
    const write = (isBare: boolean) =>
      fenced(log, writer, async (tx, open): Promise<StepFailure> => {
        const { isLast, ...count } = await isLastTry(tx, writer, failed);
        // The acknowledgement of an earlier commit was lost, and the write repeated. That commit has counted the attempt.
        if (await findModelCall(tx.rows, writer.callId))
          return { final: false, failures: Math.max(1, count.failures - 1) };
        const call = openCallOf(catalogue, writer, failed.usage);
        const end = { outcome: 'failed', errorCode: failed.code } as const;
        const total = addUsage(open, await charge(tx, call, end));
        await tx.messages.update(open.id, total);
        if (!isLast) return { final: false, ...count };
        const error = messageError(failed.code, isBare ? PLAIN_MESSAGE : failed.message);
        const reply = await closeReply(tx, { ...open, ...total }, { status: 'failed', error, isBare });
        return { final: true, reply, session: tx.session };
      });
    return storably(write);
  };
