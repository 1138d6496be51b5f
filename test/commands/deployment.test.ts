import { databaseUrlOf, deploymentOf } from '../../src/commands/deployment.ts';
import { ConfigError, readConfig } from '../../src/config.ts';

const all = {
  DATABASE_URL: 'postgres://127.0.0.1/openclaw',
  TEMPORAL_ADDRESS: 'temporal:7233',
  OPENCLAW_SECRET_KEY: 'a-secret-of-the-deployment',
};
const names = Object.keys(all);

/** What is said of a configuration in which these are not set. */
function complaint(missing: string[]): string {
  const given = Object.fromEntries(Object.entries(all).filter(([name]) => !missing.includes(name)));
  try {
    deploymentOf('api', readConfig(given));
    return '';
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
}

test('a process of a deployment is told where its parts are', () => {
  expect(deploymentOf('worker', readConfig(all))).toMatchObject({
    database: all.DATABASE_URL,
    secretKey: all.OPENCLAW_SECRET_KEY,
    temporal: { connection: { address: 'temporal:7233' }, namespace: 'default' },
  });
});

test.each([[[]], ...names.map((name) => [[name]]), [names.slice(0, 2)], [names]])(
  'without %j it names these and no other',
  (missing) => {
    const told = complaint(missing as string[]);
    for (const name of names) expect(told.includes(name)).toBe((missing as string[]).includes(name));
  },
);

test('a migration needs the database alone', () => {
  expect(databaseUrlOf('migrate', readConfig({ DATABASE_URL: all.DATABASE_URL }))).toBe(all.DATABASE_URL);
  expect(() => databaseUrlOf('migrate', readConfig({}))).toThrow(/^`openclaw migrate` needs DATABASE_URL/);
});
