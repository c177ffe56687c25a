//! The attributes `filter`, `mapper` and `transformer` of `hookwright-plugin`.
//!
//! Each leaves the function as it is and adds, behind it, the export of one interface of the plugin
//! contract. The function's shape is checked here, so that a wrong one is told in the words of the
//! contract; its types are checked by the compiler, against the `call_…` functions of the SDK.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::parse::Parse as _;
use syn::parse::Parser as _;
use syn::{Error, Expr, FnArg, ItemFn, MetaNameValue};

/// What distinguishes the three roles: names in the contract and in the SDK, and the parameters
/// that come before the settings.
struct Role {
    name: &'static str,
    method: &'static str,
    parameters: &'static [&'static str],
    answer: fn() -> Tokens,
}

const FILTER: Role =
    Role { name: "filter", method: "accept", parameters: &["event"], answer: || quote!(bool) };
const MAPPER: Role = Role {
    name: "mapper",
    method: "map_fields",
    parameters: &["event"],
    answer: || quote!(::std::string::String),
};
const TRANSFORMER: Role = Role {
    name: "transformer",
    method: "transform",
    parameters: &["event", "draft"],
    answer: || quote!(::core::option::Option<::hookwright_plugin::Request>),
};

/// Exports a function as the plugin's *filter*: whether an event is delivered at all.
///
/// The function is `fn(Event<D>) -> Result<bool, E>` or `fn(Event<D>, S) -> Result<bool, E>`, where `S` are
/// the settings and `E` is `Failure` or what converts into it.
///
/// `#[filter(check = path)]` names a function `fn(&S) -> Result<(), E>` that checks the settings before the event's data is
/// read. What it refuses fails with the code `bad-settings`, and a hook isn't made with such settings.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(&FILTER, arguments, item)
}

/// Exports a function as the plugin's *mapper*: the event's data, reshaped.
///
/// The function is `fn(Event<D>) -> Result<T, E>` or `fn(Event<D>, S) -> Result<T, E>`, where `T` is any
/// `Serialize`, or `JsonText`. `#[mapper(check = path)]` is as in [`macro@filter`].
#[proc_macro_attribute]
pub fn mapper(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(&MAPPER, arguments, item)
}

/// Exports a function as the plugin's *transformer*: the HTTP request that is sent.
///
/// The function is `fn(Event<D>, Request) -> Result<Option<Request>, E>`, or the same with settings as its third
/// parameter. `None` cancels the delivery. `#[transformer(check = path)]` is as in [`macro@filter`].
#[proc_macro_attribute]
pub fn transformer(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(&TRANSFORMER, arguments, item)
}

fn attribute(role: &Role, arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(role, arguments.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(role: &Role, arguments: Tokens, item: Tokens) -> syn::Result<Tokens> {
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|_error| Error::new_spanned(item, format!("#[{}] goes on a function", role.name)))?;
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
    let answer = (role.answer)();
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
                    -> ::core::result::Result<#answer, ::hookwright_plugin::Failure>
                {
                    ::hookwright_plugin::__private::#call(#(#parameters,)* #check, #callee)
                }
            }
            // Only a Wasm module has a host; the export's symbol name means nothing to other linkers.
            #[cfg(target_arch = "wasm32")]
            ::hookwright_plugin::__private::#export!(Plugin);
        };
    })
}

/// The function that checks the settings, of an attribute's arguments.
fn check_function(role: &Role, arguments: Tokens, has_settings: bool) -> syn::Result<Option<Expr>> {
    if arguments.is_empty() {
        return Ok(None);
    }
    let wrong = |span: &dyn quote::ToTokens| {
        let text = format!("#[{}] takes nothing, or `check = function`", role.name);
        Error::new_spanned(span, text)
    };
    let given = MetaNameValue::parse.parse2(arguments.clone()).map_err(|_error| wrong(&arguments))?;
    if !given.path.is_ident("check") {
        return Err(wrong(&given.path));
    }
    if !has_settings {
        return Err(Error::new_spanned(given, "`check` is for settings, and the function takes none"));
    }
    Ok(Some(given.value))
}

/// Whether the function takes settings; an error if it can't be this role.
fn check_shape(role: &Role, function: &ItemFn) -> syn::Result<bool> {
    let signature = &function.sig;
    let refuse = |span: &dyn quote::ToTokens, what: &str| {
        Err(Error::new_spanned(span, format!("a {} {what}", role.name)))
    };
    if let Some(token) = &signature.asyncness {
        return refuse(token, "can't be async: the host waits for its answer");
    }
    if let Some(token) = &signature.unsafety {
        return refuse(token, "is a safe function");
    }
    if !signature.generics.params.is_empty() {
        return refuse(&signature.generics, "can't be generic: name the types of data and settings");
    }
    if let Some(receiver @ FnArg::Receiver(_)) = signature.inputs.first() {
        return refuse(receiver, "is a plain function: nothing is kept between calls");
    }
    if let syn::ReturnType::Default = signature.output {
        return refuse(&signature.ident, "returns a Result");
    }
    let least = role.parameters.len();
    match signature.inputs.len() {
        count if count == least => Ok(false),
        count if count == least + 1 => Ok(true),
        _ => {
            let list = role.parameters.join(", ");
            refuse(&signature.ident, &format!("takes ({list}) or ({list}, settings)"))
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
    fn wrong_shapes_are_refused_in_the_words_of_the_contract() {
        let cases: [(&Role, &str, &str); 6] = [
            (&FILTER, "struct X;", "#[filter] goes on a function"),
            (&FILTER, "fn f() -> R { }", "a filter takes (event) or (event, settings)"),
            (&MAPPER, "async fn f(e: E) -> R { }", "a mapper can't be async: the host waits for its answer"),
            (&MAPPER, "fn f(e: E) { }", "a mapper returns a Result"),
            (
                &TRANSFORMER,
                "fn f(e: E) -> R { }",
                "a transformer takes (event, draft) or (event, draft, settings)",
            ),
            (
                &TRANSFORMER,
                "fn f<T>(e: E, r: R) -> R { }",
                "a transformer can't be generic: name the types of data and settings",
            ),
        ];
        for (role, source, expected) in cases {
            assert_eq!(refusal(role, source), expected, "{source}");
        }
    }

    #[test]
    fn the_arguments_are_a_check_of_settings_that_there_are() {
        let expanded = |arguments: &str, source: &str| {
            let tokens = |text: &str| text.parse::<Tokens>().expect("tokens");
            expand(&FILTER, tokens(arguments), tokens(source)).map(|_| ()).map_err(|error| error.to_string())
        };
        let (with, without) = ("fn f(e: E, s: S) -> R { }", "fn f(e: E) -> R { }");
        assert_eq!(expanded("check = Settings::check", with), Ok(()));
        let wrong = Err("#[filter] takes nothing, or `check = function`".to_owned());
        assert_eq!(expanded("checks = check", with), wrong);
        assert_eq!(expanded("check", with), wrong);
        let none = Err("`check` is for settings, and the function takes none".to_owned());
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
