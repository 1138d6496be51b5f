/** Whether the long forms run: `npm run test:long`. A file named `*.long.test.ts` runs only then. */
export const isLong = process.env.TEST_LONG === '1';

/** What the short run has no room for: there it is not defined at all. */
const nothing = Object.assign(() => undefined, { each: () => () => undefined });
export const itLong = (isLong ? it : nothing) as jest.It;
