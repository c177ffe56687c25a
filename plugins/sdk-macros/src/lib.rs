//! The attributes `filter`, `mapper` and `transformer` of `hookwright-plugin`.
//!
//! Each keeps the function and adds the export of one interface of the plugin contract. The macro checks the function's
//! signature, so that errors use the terms of the contract. The compiler checks the types, against the `call_…`
//! functions of the SDK.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::parse::Parse as _;
use syn::parse::Parser as _;
use syn::{Error, Expr, FnArg, ItemFn, MetaNameValue};

/// Properties of a role: names in the contract and in the SDK, and the parameters before the settings.
struct Role {
    name: &'static str,
    method: &'static str,
    parameters: &'static [&'static str],
    result: fn() -> Tokens,
}

const FILTER: Role =
    Role { name: "filter", method: "accept", parameters: &["event"], result: || quote!(bool) };
const MAPPER: Role = Role {
    name: "mapper",
    method: "map_fields",
    parameters: &["event"],
    result: || quote!(::std::string::String),
};
const TRANSFORMER: Role = Role {
    name: "transformer",
    method: "transform",
    parameters: &["event", "draft"],
    result: || quote!(::core::option::Option<::hookwright_plugin::Request>),
};

/// Exports a function as the plugin's *filter*, which decides whether an event is delivered.
///
/// The function is `fn(Event<D>) -> Result<bool, E>` or `fn(Event<D>, S) -> Result<bool, E>`, where `S` is the type of
/// the settings and `E` converts into `Failure`.
///
/// `#[filter(check = path)]` names a function `fn(&S) -> Result<(), E>` that checks the settings before the event's
/// data is parsed. Its errors get the code `bad-settings`, and the engine refuses hooks with such settings.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(&FILTER, arguments, item)
}

/// Exports a function as the plugin's *mapper*, which transforms the event's data.
///
/// The function is `fn(Event<D>) -> Result<T, E>` or `fn(Event<D>, S) -> Result<T, E>`, where `T` is any `Serialize`
/// type or `JsonText`. For `#[mapper(check = path)]`, see [`macro@filter`].
#[proc_macro_attribute]
pub fn mapper(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(&MAPPER, arguments, item)
}

/// Exports a function as the plugin's *transformer*, which writes the HTTP request.
///
/// The function is `fn(Event<D>, Request) -> Result<Option<Request>, E>`, or the same with settings as the third
/// parameter. `None` drops the delivery. For `#[transformer(check = path)]`, see [`macro@filter`].
#[proc_macro_attribute]
pub fn transformer(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(&TRANSFORMER, arguments, item)
}

fn attribute(role: &Role, arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(role, arguments.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(role: &Role, arguments: Tokens, item: Tokens) -> syn::Result<Tokens> {
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|_error| Error::new_spanned(item, format!("#[{}] must be on a function", role.name)))?;
    let has_settings = check_shape(role, &function)?;
    let check = check_function(role, arguments, has_settings)?;

    let name = &function.sig.ident;
    let method = format_ident!("{}", role.method);
    let bindings = format_ident!("{}", role.name);
    let call = format_ident!("call_{}", role.name);
    let export = format_ident!("export_{}", role.name);
    let parameters: Vec<_> = role.parameters.iter().map(|name| format_ident!("{name}")).collect();
    let types = role.parameters.iter().map(|name| match *name {
        "event" => quote!(::hookwright_plugin::__private::WireEvent),
        _ => quote!(::hookwright_plugin::Request),
    });
    let result = (role.result)();
    let callee = if has_settings {
        quote!(#name)
    } else {
        quote!(|#(#parameters,)* _settings: ::hookwright_plugin::__private::NoSettings| #name(#(#parameters),*))
    };
    let check = match check {
        Some(check) => quote!(|settings| ::hookwright_plugin::__private::checked((#check)(settings))),
        None => quote!(|_settings| ::core::result::Result::Ok(())),
    };
    Ok(quote! {
        #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the host only"))]
        #function

        const _: () = {
            #[allow(dead_code, reason = "only carries the implementation")]
            enum Plugin {}
            impl ::hookwright_plugin::__private::#bindings::Guest for Plugin {
                fn #method(#(#parameters: #types),*)
                    -> ::core::result::Result<#result, ::hookwright_plugin::Failure>
                {
                    ::hookwright_plugin::__private::#call(#(#parameters,)* #check, #callee)
                }
            }
            // Only Wasm modules have a host. Other linkers do not accept the symbol name of the export.
            #[cfg(target_arch = "wasm32")]
            ::hookwright_plugin::__private::#export!(Plugin);
        };
    })
}

/// Parses the check function from the attribute's arguments.
fn check_function(role: &Role, arguments: Tokens, has_settings: bool) -> syn::Result<Option<Expr>> {
    if arguments.is_empty() {
        return Ok(None);
    }
    let wrong = |span: &dyn quote::ToTokens| {
        let text = format!("#[{}] accepts no arguments or `check = function`", role.name);
        Error::new_spanned(span, text)
    };
    let given = MetaNameValue::parse.parse2(arguments.clone()).map_err(|_error| wrong(&arguments))?;
    if !given.path.is_ident("check") {
        return Err(wrong(&given.path));
    }
    if !has_settings {
        return Err(Error::new_spanned(given, "`check` requires a function with settings"));
    }
    Ok(Some(given.value))
}

/// Returns whether the function has a parameter for settings, or an error if its signature does not fit the role.
fn check_shape(role: &Role, function: &ItemFn) -> syn::Result<bool> {
    let signature = &function.sig;
    let refuse = |span: &dyn quote::ToTokens, what: &str| {
        Err(Error::new_spanned(span, format!("a {} {what}", role.name)))
    };
    if let Some(token) = &signature.asyncness {
        return refuse(token, "must not be async: the host waits for its result");
    }
    if let Some(token) = &signature.unsafety {
        return refuse(token, "must be a safe function");
    }
    if !signature.generics.params.is_empty() {
        return refuse(
            &signature.generics,
            "must not be generic: name the types of the data and the settings",
        );
    }
    if let Some(receiver @ FnArg::Receiver(_)) = signature.inputs.first() {
        return refuse(receiver, "must be a plain function: no state is kept between calls");
    }
    if let syn::ReturnType::Default = signature.output {
        return refuse(&signature.ident, "must return a Result");
    }
    let least = role.parameters.len();
    match signature.inputs.len() {
        count if count == least => Ok(false),
        count if count == least + 1 => Ok(true),
        _ => {
            let list = role.parameters.join(", ");
            refuse(&signature.ident, &format!("must have the parameters ({list}) or ({list}, settings)"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(role: &Role, source: &str) -> String {
        let item: Tokens = source.parse().expect("tokens");
        expand(role, Tokens::new(), item).expect_err("refused").to_string()
    }

    #[test]
    fn wrong_signatures_are_refused_with_the_reason() {
        let cases: [(&Role, &str, &str); 6] = [
            (&FILTER, "struct X;", "#[filter] must be on a function"),
            (&FILTER, "fn f() -> R { }", "a filter must have the parameters (event) or (event, settings)"),
            (
                &MAPPER,
                "async fn f(e: E) -> R { }",
                "a mapper must not be async: the host waits for its result",
            ),
            (&MAPPER, "fn f(e: E) { }", "a mapper must return a Result"),
            (
                &TRANSFORMER,
                "fn f(e: E) -> R { }",
                "a transformer must have the parameters (event, draft) or (event, draft, settings)",
            ),
            (
                &TRANSFORMER,
                "fn f<T>(e: E, r: R) -> R { }",
                "a transformer must not be generic: name the types of the data and the settings",
            ),
        ];
        for (role, source, expected) in cases {
            assert_eq!(refusal(role, source), expected, "{source}");
        }
    }

    #[test]
    fn the_only_argument_is_a_check_of_settings() {
        let expanded = |arguments: &str, source: &str| {
            let tokens = |text: &str| text.parse::<Tokens>().expect("tokens");
            expand(&FILTER, tokens(arguments), tokens(source)).map(|_| ()).map_err(|error| error.to_string())
        };
        let (with, without) = ("fn f(e: E, s: S) -> R { }", "fn f(e: E) -> R { }");
        assert_eq!(expanded("check = Settings::check", with), Ok(()));
        let wrong = Err("#[filter] accepts no arguments or `check = function`".to_owned());
        assert_eq!(expanded("checks = check", with), wrong);
        assert_eq!(expanded("check", with), wrong);
        let none = Err("`check` requires a function with settings".to_owned());
        assert_eq!(expanded("check = check", without), none);
    }

    #[test]
    fn settings_are_optional() {
        for source in ["fn f(e: E) -> R { }", "fn f(e: E, s: S) -> R { }"] {
            let item: Tokens = source.parse().expect("tokens");
            assert!(expand(&FILTER, Tokens::new(), item).is_ok(), "{source}");
        }
    }
}
