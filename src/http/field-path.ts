// The path of a value in error texts: `tools[0].name` in a body, `metadata[key]` in a query.

/** A key may be a megabyte long, so errors shorten keys. */
const SEGMENT_LENGTH_MAX = 100;
const PATH_LENGTH_MAX = 300;

export type PathSegment = string | number;
export type PathFormat = (path: readonly PathSegment[]) => string;

/** Makes a client's key safe to repeat: NUL and half of a surrogate pair would break JSON readers or logs. */
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

/** Leaves out positions inside a comma list: the client knows the parameter, not the list. */
export const queryPath: PathFormat = ([name, ...rest]) =>
  readable(String(name ?? '')) +
  rest
    .filter((segment) => typeof segment === 'string')
    .map((segment) => `[${readable(segment)}]`)
    .join('');
