// Runs one process that evaluates the calculator's expressions one at a time. A calculation that takes too long is killed.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BuiltInResult } from '../built-in.ts';

const PROGRAM = fileURLToPath(new URL('./evaluate.mjs', import.meta.url));
/** A usual calculation takes a few MB. A larger one ends only its own process. */
const HEAP_MEGABYTES = 192;
/** The process ends a calculation after 2 s by itself. If the process can't, it is killed. */
const KILL_AFTER_MS = 4_000;
/**
 * Measured: 0.9 s of CPU including the library, and several times as long on a busy machine. The process starts on first
 * use. A process kept ready from the start would cost 45 MB in every worker that never calculates.
 */
const START_TIMEOUT_MS = 20_000;

const failure = (result: string): BuiltInResult => ({ result, isError: true });

export interface Evaluator {
  isAlive(): boolean;
  /** @throws the signal's reason, after killing the process. */
  evaluate(expression: string, signal: AbortSignal): Promise<BuiltInResult>;
  kill(): void;
}

type Answer = { id: number } & BuiltInResult;
type Reply = Answer | { ready: true };

/** Resolves with the next reply that `accepts` takes, or rejects when the process ends first. */
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

/** @throws {Error} when the process can't be started. */
export async function startEvaluator(): Promise<Evaluator> {
  const child = fork(PROGRAM, [], {
    // An empty environment, because expressions are untrusted.
    env: {},
    execArgv: [`--max-old-space-size=${HEAP_MEGABYTES}`],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const kill = () => void child.kill('SIGKILL');
  const isAlive = () => child.connected && child.exitCode === null && child.signalCode === null;
  const late = setTimeout(kill, START_TIMEOUT_MS);
  await nextReply(child, isReady).finally(() => clearTimeout(late));
  // An idle calculator must not keep its parent process alive.
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
