// The session of the TypeScript client 2.x.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { main, person, spec } from './session.mjs';

const client = new Client(
  { name: 'typescript2', version: '1' },
  {
    capabilities: spec.asks ? { elicitation: { form: {} } } : {},
    versionNegotiation: { mode: spec.era === '2026-07-28' ? { pin: spec.era } : 'legacy' },
  },
);
if (spec.asks) client.setRequestHandler('elicitation/create', person);
const transport = spec.url
  ? new StreamableHTTPClientTransport(new URL(spec.url), {
      authProvider: spec.token ? { token: async () => spec.token } : undefined,
    })
  : new StdioClientTransport({ command: spec.command, args: spec.args, env: spec.env });

await main(
  client,
  transport,
  () => client.getNegotiatedProtocolVersion(),
  (name, args, onprogress) => client.callTool({ name, arguments: args }, { onprogress }),
);
