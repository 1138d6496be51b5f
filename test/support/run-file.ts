// What one run's setup tells its suites, through the environment that Jest hands on to them.

export interface RunFacts {
  address: string;
  bundlePath: string;
  cliPath: string;
  testServerPath: string;
  directory: string;
}

const NAME = 'OPENCLAW_TEST_RUN';

export const writeRunFile = (facts: RunFacts): void => {
  process.env[NAME] = JSON.stringify(facts);
};

export const readRunFile = (): RunFacts => JSON.parse(process.env[NAME] ?? '{}') as RunFacts;
