# The whole system in one container: API, worker, embedded Temporal server, SQLite. Data lies in /data.
# Written without a Docker engine at hand: not yet built or run by its authors.

# glibc, not alpine: Temporal's native core has no musl build. The full image has a compiler, should one be needed.
FROM node:22 AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The sources are not here yet, so this layer is cached until a dependency changes; `prepare` would want to build them.
RUN npm ci --ignore-scripts && npm rebuild better-sqlite3
COPY tsconfig.json ./
COPY scripts scripts
COPY src src
COPY workflows workflows
COPY activities activities
RUN npm run build
# Into the image, so that a first start downloads nothing.
RUN XDG_CACHE_HOME=/opt/cache node scripts/fetch-temporal.mjs --server-only
RUN npm prune --omit=dev --ignore-scripts

FROM node:22-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 OPENCLAW_DATA_DIR=/data XDG_CACHE_HOME=/opt/cache
WORKDIR /app
COPY --from=build /opt/cache /opt/cache
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8080
# Alive, not ready: /readyz also asks Temporal and the store, and a restart of this container mends neither.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--enable-source-maps", "dist/main.js", "dev"]
