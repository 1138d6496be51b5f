// The addresses that a webhook may have.
import { ApiError } from '../../contracts/errors.ts';
import { EgressRefused } from '../../egress/guard.ts';

const refused = (why: string) => new ApiError('invalid_request', `The 'url' field ${why}`, { param: 'url' });

export interface UrlDeps {
  /** Checks that webhooks may be sent to the address. @throws EgressRefused */
  checkTarget: (url: string) => Promise<void>;
}

/** @returns the normalized address. @throws ApiError `invalid_request` with param `url` */
export async function checkUrl(text: string, { checkTarget }: UrlDeps): Promise<string> {
  if (!URL.canParse(text)) throw refused('must be an absolute URL');
  const url = new URL(text);
  await checkTarget(url.href).catch((error: unknown) => {
    throw error instanceof EgressRefused ? refused(`can't be used: ${error.message}`) : error;
  });
  // A fragment is never sent, so the client must expect something that doesn't happen.
  if (text.includes('#')) throw refused('must not have a fragment');
  return url.href;
}
