// The session of the TypeScript SDK 1.x.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { main, person, spec } from './session.mjs';

const capabilities = spec.asks ? { elicitation: { form: {} } } : {};
const client = new Client({ name: 'typescript1', version: '1' }, { capabilities });
if (spec.asks) client.setRequestHandler(ElicitRequestSchema, person);
const headers = spec.token ? { Authorization: `Bearer ${spec.token}` } : {};
const transport = spec.url
  ? new StreamableHTTPClientTransport(new URL(spec.url), { requestInit: { headers } })
  : new StdioClientTransport({ command: spec.command, args: spec.args, env: spec.env });

let version; // this client tells its transport alone
const keep = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (agreed) => {
  version = agreed;
  keep?.(agreed);
};

await main(
  client,
  transport,
  () => version,
  (name, args, onprogress) => client.callTool({ name, arguments: args }, undefined, { onprogress }),
);
