// Others are served while many large tools are checked. CPU is compared with CPU of the same process, so speed does not matter.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ToolEntry } from '../../src/contracts/tools.ts';
import { checkTools } from '../../src/services/tools/definitions.ts';
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';

const TOOLS = 10;
const FIELDS = 600;
const TRIES = 2;
/** Each half of a tool's work is a piece, and a piece begins up to 10 ms late. All tools at once take the tenfold. */
const PIECE_OF_TOOL_MAX = 5;

let nonce = 0;
function largeTool(): ToolEntry {
  nonce += 1;
  const fields = Array.from({ length: FIELDS }, (_, index) => [`$${index}`, {}]);
  const parameters = { title: `${nonce}`, type: 'object', properties: Object.fromEntries(fields) };
  return { name: `tool_${nonce}`, description: 'A tool', parameters } as ToolEntry;
}
const largeTools = () => Array.from({ length: TOOLS }, largeTool);

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

/** The most CPU between two turns of the event loop, and all of it. */
async function cpuOf(work: () => Promise<unknown>): Promise<{ longest: number; total: number }> {
  let [isOver, longest] = [false, 0];
  const began = cpuMs();
  const watch = async () => {
    for (let before = cpuMs(); !isOver; ) {
      await nextTurn();
      const now = cpuMs();
      longest = Math.max(longest, now - before);
      before = now;
    }
  };
  const watching = watch();
  await work().finally(() => {
    isOver = true;
  });
  await watching;
  return { longest, total: cpuMs() - began };
}

test('no piece takes the work of many tools', async () => {
  const checker = createSchemaChecker();
  await checkTools(largeTools(), checker);
  const shares: number[] = [];
  for (let index = 0; index < TRIES; index += 1) {
    const { longest, total } = await cpuOf(() => checkTools(largeTools(), checker));
    shares.push((longest / total) * TOOLS);
  }
  expect(Math.min(...shares)).toBeLessThan(PIECE_OF_TOOL_MAX);
}, 60_000);
