// Which addresses a webhook may have.
import { ApiError } from '../../contracts/errors.ts';

const refused = (why: string) => new ApiError('invalid_request', `The 'url' field ${why}`, { param: 'url' });

/** @returns the address in its normal form. @throws ApiError `invalid_request` with param `url` */
export function checkUrl(text: string): string {
  if (!URL.canParse(text)) throw refused('must be an absolute URL');
  const url = new URL(text);
  if (url.protocol !== 'https:') throw refused('must be an https URL');
  if (url.username !== '' || url.password !== '') throw refused('must not have a user name or password');
  // It would never be sent, so whoever writes one expects something that does not happen.
  if (text.includes('#')) throw refused('must not have a fragment');
  return url.href;
}
