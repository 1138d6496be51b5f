// Client tokens: signed, not stored, and invalid once their API key is revoked or expired.
import { createHash, createHmac } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import type { Kysely } from 'kysely';
import { z } from 'zod';
import { CLIENT_SCOPES, type ClientToken } from '../contracts/client-tokens.ts';
import { toTimestamp } from '../contracts/common.ts';
import { ApiError } from '../contracts/errors.ts';
import { randomText } from '../ids.ts';
import type { AccessStore } from '../stores/access.ts';
import type { Tables } from '../stores/schema.ts';
import type { SessionsStore } from '../stores/sessions.ts';
import type { Once } from './idempotency.ts';
import type { Caller, ClientTokensService } from './ports.ts';
import { visibleSession } from './session-access.ts';

const ALGORITHM = 'HS256';
const AUDIENCE = 'openclaw';
/** RFC 8725: rejects tokens of another kind that were signed with the same secret. */
const TYPE = 'openclaw-client+jwt';

/** Three base64url parts. An API key has no dots. */
const TOKEN_SHAPE = /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/;
export const looksLikeClientToken = (presented: string): boolean => TOKEN_SHAPE.test(presented);

const TOKEN_ID_LENGTH = 16;

/** Works for every token, including tokens without an id claim. */
const idOf = (token: string): string => createHash('sha256').update(token).digest('base64url').slice(0, 22);

const Claims = z.object({
  /** The id of the key that made the token. */
  sub: z.string(),
  sessions: z.array(z.string()),
  scopes: z.array(z.enum(CLIENT_SCOPES)),
});

interface ClientTokensDeps {
  access: Pick<AccessStore, 'findKey'>;
  sessions: SessionsStore;
  db: Kysely<Tables>;
  secretKey: string;
  once: Once;
  now: () => number;
}

/** Tokens aren't stored, so a replay can only return the expiry, in seconds. */
interface Minted {
  expiresAt: number;
}

const invalid = () => new ApiError('invalid_api_key', 'This client token is not valid');
const expired = (what: string) => new ApiError('expired_api_key', `${what} has expired`);

export function createClientTokens(deps: ClientTokensDeps): ClientTokensService {
  const { access, sessions, db, once, now } = deps;
  // A separate key: the signing key must not also hash API keys or sign cursors.
  const secret = createHmac('sha256', deps.secretKey).update('openclaw client tokens 1').digest();
  /** Identifies the secret without revealing it, so tokens of another installation are recognized. */
  const kid = createHmac('sha256', secret).update('kid').digest('hex').slice(0, 16);

  async function claimsOf(token: string): Promise<z.infer<typeof Claims>> {
    const verified = await jwtVerify(token, secret, {
      algorithms: [ALGORITHM],
      audience: AUDIENCE,
      typ: TYPE,
      requiredClaims: ['exp', 'sub'],
      currentDate: new Date(now()),
    }).catch((cause: unknown) => {
      throw cause instanceof errors.JWTExpired ? expired('This client token') : invalid();
    });
    const claims = Claims.safeParse(verified.payload);
    if (verified.protectedHeader.kid !== kid || !claims.success) throw invalid();
    return claims.data;
  }

  return {
    async authenticate(token): Promise<Caller> {
      const { sub, sessions: sessionIds, scopes } = await claimsOf(token);
      const key = await access.findKey(sub);
      if (!key || key.revoked_at !== null) throw invalid();
      if (key.expires_at !== null && key.expires_at <= now())
        throw expired('The API key of this client token');
      return {
        accountId: key.account_id,
        keyId: key.id,
        level: key.level,
        grant: { tokenId: idOf(token), sessionIds: new Set(sessionIds), scopes: new Set(scopes) },
      };
    },

    create(caller, { session_ids, scopes, expires_in_seconds }, idempotency) {
      return once<ClientToken, Minted>(
        caller,
        idempotency,
        async (keep) => {
          for (const sessionId of session_ids) await visibleSession(sessions, caller, sessionId);
          // The claims count whole seconds, so the response uses the same second.
          const issuedAt = Math.floor(now() / 1_000);
          const expiresAt = issuedAt + expires_in_seconds;
          const token = await new SignJWT({ sessions: session_ids, scopes })
            .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid })
            // Otherwise two tokens made in the same second would be identical and share one allowance.
            .setJti(randomText(TOKEN_ID_LENGTH))
            .setSubject(caller.keyId)
            .setAudience(AUDIENCE)
            .setIssuedAt(issuedAt)
            .setExpirationTime(expiresAt)
            .sign(secret);
          await db.transaction().execute((rows) => keep(rows, { expiresAt }));
          return { token, expires_at: toTimestamp(expiresAt * 1_000) };
        },
        async ({ expiresAt }) => ({ token: null, expires_at: toTimestamp(expiresAt * 1_000) }),
      );
    },
  };
}
