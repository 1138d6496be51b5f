// One process that evaluates expressions for the calculator: one at a time, killed when it takes too long.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BuiltInResult } from '../built-in.ts';

const PROGRAM = fileURLToPath(new URL('./evaluate.mjs', import.meta.url));
/** Of a usual calculation it takes a few; what asks for more ends its own process and nothing else. */
const HEAP_MEGABYTES = 192;
/** The process ends a calculation after 2 s by itself; one that can't is killed. */
const KILL_AFTER_MS = 4_000;
/**
 * Measured: 0.9 s of CPU with its library, on a busy machine several times that until it is ready. Started when first
 * needed: kept ready from the start on it would cost 45 MB in every worker that never calculates.
 */
const START_TIMEOUT_MS = 20_000;

const failure = (result: string): BuiltInResult => ({ result, isError: true });

export interface Evaluator {
  isAlive(): boolean;
  /** @throws the signal's reason, after the process was killed. */
  evaluate(expression: string, signal: AbortSignal): Promise<BuiltInResult>;
  kill(): void;
}

type Answer = { id: number } & BuiltInResult;
type Reply = Answer | { ready: true };

/** Resolves with what the process says next that `accepts`, or rejects when it ends before. */
function nextReply<R extends Reply>(child: ChildProcess, accepts: (reply: Reply) => reply is R): Promise<R> {
  return new Promise((resolve, reject) => {
    const onMessage = (reply: Reply) => {
      if (accepts(reply)) done(() => resolve(reply));
    };
    const onEnd = () => done(() => reject(new Error('The calculator has ended')));
    const done = (settle: () => void) => {
      child.off('message', onMessage).off('exit', onEnd).off('error', onEnd);
      settle();
    };
    child.on('message', onMessage).on('exit', onEnd).on('error', onEnd);
  });
}

const isReady = (reply: Reply): reply is { ready: true } => 'ready' in reply;

/** Starts a process. @throws {Error} when it can't be started. */
export async function startEvaluator(): Promise<Evaluator> {
  const child = fork(PROGRAM, [], {
    // Nothing of our environment: expressions are other people's.
    env: {},
    execArgv: [`--max-old-space-size=${HEAP_MEGABYTES}`],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const kill = () => void child.kill('SIGKILL');
  const isAlive = () => child.connected && child.exitCode === null && child.signalCode === null;
  const late = setTimeout(kill, START_TIMEOUT_MS);
  await nextReply(child, isReady).finally(() => clearTimeout(late));
  // An idle calculator keeps no process from ending.
  child.unref();
  child.channel?.unref();
  let calls = 0;

  return {
    isAlive,
    kill,
    async evaluate(expression, signal) {
      signal.throwIfAborted();
      calls += 1;
      const id = calls;
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        kill();
      }, KILL_AFTER_MS);
      signal.addEventListener('abort', kill, { once: true });
      try {
        child.send({ id, expression });
        const answer = await nextReply(child, (reply): reply is Answer => 'id' in reply && reply.id === id);
        return { result: answer.result, isError: answer.isError };
      } catch {
        signal.throwIfAborted();
        return failure(
          isLate ? 'The calculation took too long.' : 'The calculation needed more memory than it may have.',
        );
      } finally {
        clearTimeout(timer);
        signal.removeEventListener('abort', kill);
      }
    },
  };
}
