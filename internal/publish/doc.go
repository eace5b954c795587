// Package publish holds what is being served: the live Program, the keyring and the upstream registry.
//
//	compile.Compile -> routing.Config --Publish--> proxy.NewProgram -> Live (one atomic store)
//	compile.Credential -> keyring.Entry --SetCredential--> Keyring    (O(1), no new Program)
//	compile.Endpoints -> addresses ------SetEndpoints----> Registry   (no new Program)
//
// A Config that can't be turned into a Program, which only a programming error can cause, leaves the last good Program
// serving; a metric then says since when and Ready fails after 30 seconds. Keys and endpoints are never held back by
// that: revoking a credential takes effect at once.
package publish
