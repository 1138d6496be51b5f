// A process that does some of a session's work and dies by `kill -9` as it sends the named signal: after the commit that decided
// it, before Temporal has it. Prints what the work has made.
//   node killed-after-commit.cjs <database> <signal>
require('../temporal/run-typescript.cjs');
const { openTestStore } = require('./store.ts');
const { SIGNAL_WORK } = require('./signal-work.ts');

const [database, deadly] = process.argv.slice(2);

async function dieAt(name) {
  if (name === deadly) process.kill(process.pid, 'SIGKILL');
}

async function main() {
  const store = await openTestStore({
    file: database,
    engine: { start: () => dieAt('start'), signal: dieAt },
  });
  await SIGNAL_WORK[deadly](store, (made) => process.stdout.write(`${JSON.stringify(made)}\n`));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
