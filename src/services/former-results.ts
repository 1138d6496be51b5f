// Results in the previous version's format: a text whose form depends on the route. Processes of both versions may run
// together, and a key lives for a day, so each version replays the other's keys. A later version removes this file and
// the column.

/** One format, with its reader and writer. Each `write` receives only results of its own route. */
interface Form {
  route: RegExp;
  read(text: string): unknown;
  write(result: never): string;
}

const REPLACED_NONE = '+';

const FORMS: Form[] = [
  {
    route: /^POST .*\/tool-results$/,
    read: (text) => ({ ids: text.split(',') }),
    write: ({ ids }: { ids: string[] }) => ids.join(','),
  },
  {
    route: /^POST .*\/tools$/,
    read: (text) => ({ name: text.replace(REPLACED_NONE, ''), replaced: !text.startsWith(REPLACED_NONE) }),
    write: ({ name, replaced }: { name: string; replaced: boolean }) =>
      replaced ? name : REPLACED_NONE + name,
  },
  {
    route: /^POST .*\/replay$/,
    read: (text) => ({ count: Number(text) }),
    write: ({ count }: { count: number }) => String(count),
  },
  {
    route: /^POST .*\/client-tokens$/,
    read: (text) => ({ expiresAt: Number(text) }),
    write: ({ expiresAt }: { expiresAt: number }) => String(expiresAt),
  },
  {
    route: /^/,
    read: (text) => ({ id: text === '' ? null : text }),
    write: (result: { id: string | null } | undefined) => result?.id ?? '',
  },
];

const formOf = (route: string): Form => FORMS.find((form) => form.route.test(route)) as Form;

export const readFormer = (route: string, text: string): unknown => formOf(route).read(text);
export const writeFormer = (route: string, result: unknown): string => formOf(route).write(result as never);
