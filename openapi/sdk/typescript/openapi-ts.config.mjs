// What make generate runs @hey-api/openapi-ts with.
export default {
  output: {clean: true, module: {extension: '.js'}, header: ['// Code generated from openapi.yaml by make generate. DO NOT EDIT.']},
  plugins: [
    {name: '@hey-api/typescript', enums: false},
    {name: '@hey-api/client-fetch', throwOnError: true},
    {name: '@hey-api/sdk', responseStyle: 'data', operations: {strategy: 'single', containerName: 'Operations', methods: 'instance'}},
  ],
}
