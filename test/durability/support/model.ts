// The model of these suites: the simulator in the test's own process, which no kill reaches, with a log of its calls.
import { type SimulatorCall, startSimulator } from '../../../src/models/simulator.ts';

export interface ModelCall {
  text: string;
  at: number;
  outcome: SimulatorCall['outcome'];
  /** When the last byte of the answer was given to the socket, or the caller had left. */
  endedAt: number | null;
}

export interface ModelDouble {
  url: string;
  calls: ModelCall[];
  callsOf(content: string): ModelCall[];
  close(): Promise<void>;
}

/** @param onAnswered Called in the moment when an answer is given whole and nobody can have recorded it yet. */
export async function startModel(onAnswered: () => void = () => undefined): Promise<ModelDouble> {
  const calls: ModelCall[] = [];

  /** The simulator writes the outcome into its own record of the call; we are told of it as it does. */
  function watch(call: SimulatorCall, entry: ModelCall): void {
    Object.defineProperty(call, 'outcome', {
      get: () => entry.outcome,
      set(outcome: SimulatorCall['outcome']) {
        entry.outcome = outcome;
        entry.endedAt = Date.now();
        if (outcome === 'completed') onAnswered();
      },
    });
  }

  const simulator = await startSimulator({
    echoOnly: true,
    tokenMs: 0,
    onCall(call) {
      const entry: ModelCall = { text: call.text, at: Date.now(), outcome: call.outcome, endedAt: null };
      calls.push(entry);
      watch(call, entry);
    },
  });
  return {
    url: simulator.url,
    calls,
    callsOf: (content) => calls.filter(({ text }) => text === content),
    close: simulator.close,
  };
}
