// Which addresses a webhook may have.
import { ApiError } from '../../contracts/errors.ts';
import { EgressRefused } from '../../egress/guard.ts';

const refused = (why: string) => new ApiError('invalid_request', `The 'url' field ${why}`, { param: 'url' });

export interface UrlDeps {
  /** Whether webhooks may be sent there. @throws EgressRefused */
  checkTarget: (url: string) => Promise<void>;
}

/** @returns the address in its normal form. @throws ApiError `invalid_request` with param `url` */
export async function checkUrl(text: string, { checkTarget }: UrlDeps): Promise<string> {
  if (!URL.canParse(text)) throw refused('must be an absolute URL');
  const url = new URL(text);
  await checkTarget(url.href).catch((error: unknown) => {
    throw error instanceof EgressRefused ? refused(`can't be used: ${error.message}`) : error;
  });
  // It would never be sent, so whoever writes one expects something that does not happen.
  if (text.includes('#')) throw refused('must not have a fragment');
  return url.href;
}
