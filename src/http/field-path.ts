// How errors name the place of a value: `tools[0].name` in a body, `metadata[key]` in a query.

/** A key may be a megabyte long; an error need not repeat it. */
const SEGMENT_LENGTH_MAX = 100;
const PATH_LENGTH_MAX = 300;

export type PathSegment = string | number;
export type PathFormat = (path: readonly PathSegment[]) => string;

/** Makes a client's key safe to repeat: NUL and half characters would break its JSON reader or its log. */
const readable = (key: string): string =>
  key.slice(0, SEGMENT_LENGTH_MAX).toWellFormed().replaceAll('\u0000', '\\u0000');

export const bodyPath: PathFormat = (path) =>
  path
    .map((segment, index) => {
      if (typeof segment === 'number') return `[${segment}]`;
      return index === 0 ? readable(segment) : `.${readable(segment)}`;
    })
    .join('')
    .slice(0, PATH_LENGTH_MAX);

/** Positions inside a comma list are left out: the client knows the parameter, not the list. */
export const queryPath: PathFormat = ([name, ...rest]) =>
  readable(String(name ?? '')) +
  rest
    .filter((segment) => typeof segment === 'string')
    .map((segment) => `[${readable(segment)}]`)
    .join('');
