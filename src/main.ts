#!/usr/bin/env node
// The command line. `dev` runs everything in one process. `api` and `worker` each run a part. The others serve the operator.
import { Command } from 'commander';
import { api } from './commands/api.ts';
import { backup } from './commands/backup.ts';
import { createKey } from './commands/create-key.ts';
import { dev } from './commands/dev.ts';
import { doctor } from './commands/doctor.ts';
import { migrate } from './commands/migrate.ts';
import { packageVersion } from './commands/paths.ts';
import { worker } from './commands/worker.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { LEVELS } from './contracts/api-keys.ts';
import { redactText } from './log.ts';

/** Our own errors never have more causes. */
const CAUSES_MAX = 4;

/** The error and its causes, one per line. Some network errors have a code instead of a message. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines: string[] = [];
  for (let each: unknown = error; each instanceof Error && lines.length < CAUSES_MAX; each = each.cause) {
    const line = each.message || String((each as NodeJS.ErrnoException).code ?? each.name);
    // A wrapper often repeats its cause.
    if (!lines.some((earlier) => earlier.includes(line))) lines.push(line);
  }
  return lines.join('\n  ');
}

/** Databases, keys and files of child processes belong to their owner only, whatever the shell's umask. */
const PRIVATE_UMASK = 0o077;

/** Runs a command with the configuration. Prints errors without a stack. */
function run(command: (config: Config, options: Record<string, string>) => Promise<number>) {
  return async (options: Record<string, string>): Promise<void> => {
    process.umask(PRIVATE_UMASK);
    try {
      process.exitCode = await command(readConfig(), options);
    } catch (error) {
      process.stderr.write(`${redactText(explain(error))}\n`);
      process.exitCode = error instanceof ConfigError ? 2 : 1;
    }
  };
}

/** The exit code of a mistake in the environment, too. */
const USAGE_EXIT_CODE = 2;

const program = new Command('openclaw')
  .description('Durable API server for long-running Claude conversations. Without a command: dev')
  .version(packageVersion())
  // Before the commands, because they inherit it.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : USAGE_EXIT_CODE));

program
  .command('dev')
  .description('run everything in one process: Temporal, store, worker, API')
  .action(run((config) => dev(config)));

program
  .command('api')
  .description('serve HTTP; needs PostgreSQL, a Temporal server and at least one worker')
  .action(run((config) => api(config)));

program
  .command('worker')
  .description('run sessions; needs PostgreSQL and a Temporal server')
  .action(run((config) => worker(config)));

program
  .command('migrate')
  .description('apply database migrations and exit')
  .action(run((config) => migrate(config)));

program
  .command('doctor')
  .description('check this machine and say what is missing')
  .action(run((config) => doctor(config)));

program
  .command('backup')
  .description('copy the data directory, also while the server runs (docs/operations.md)')
  .argument('<directory>', 'where the copy goes; it must not exist yet')
  .action((directory: string) => run((config) => backup(config, directory))({}));

const keys = program.command('keys').description('API keys');
keys
  .command('create')
  .description('print a new API key; creates the account if it does not exist')
  .requiredOption('--account <name>', 'name of the account')
  .requiredOption('--level <level>', LEVELS.join(', '))
  .action(run((config, { account = '', level = '' }) => createKey(config, account, level)));

const commands = program.commands.map((command) => command.name()).join(', ');
program.showHelpAfterError(`Commands: ${commands}. \`openclaw --help\` describes them.`);

const given = process.argv.slice(2);
await program.parseAsync(given.length > 0 ? given : ['dev'], { from: 'user' });
