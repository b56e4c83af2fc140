"""Families of names that a store of secrets must not set; made by `loaders/generate.py`."""

from __future__ import annotations

import os
from functools import cache
from typing import Final, NamedTuple


class Family(NamedTuple):
    """Names of one purpose, exactly or by how they begin or end, each list in one text.

    Attributes:
        exceptions: names with such a beginning or end that belong to services only.
        any_case: whether programs read the names in any case.
        closed: whether names that end like a credential's are withheld too.
    """

    family: str
    names: str = ""
    prefixes: str = ""
    suffixes: str = ""
    exceptions: str = ""
    any_case: bool = False
    closed: bool = False


class _Lists(NamedTuple):
    names: frozenset[str]
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    exceptions: frozenset[str]
    fold: bool
    closed: bool

    def has(self, name: str) -> bool:
        shown = name.upper() if self.fold else name
        if shown in self.names:
            return True
        if not (shown.startswith(self.prefixes) or shown.endswith(self.suffixes)):
            return False
        is_own = shown in self.exceptions or shown.endswith(CREDENTIALS)
        return self.closed or not is_own


def is_withheld(name: str, *, windows: bool = os.name == "nt") -> bool:
    """Return whether a name changes how programs run, or where they connect to.

    Args:
        windows: whether names are the same in any case.
    """
    return any(each.has(name) for each in _lists(windows=windows))


@cache
def _lists(*, windows: bool) -> tuple[_Lists, ...]:
    return tuple(_split(each, fold=windows or each.any_case) for each in FAMILIES)


def _split(family: Family, *, fold: bool) -> _Lists:
    def words(text: str) -> list[str]:
        return (text.upper() if fold else text).split()

    return _Lists(
        frozenset(words(family.names)),
        tuple(words(family.prefixes)),
        tuple(words(family.suffixes)),
        frozenset(words(family.exceptions)),
        fold,
        family.closed,
    )


# The ends of names that belong to services, although a family has their beginning or end.
CREDENTIALS: Final = (
    "_TOKEN",
    "_PASSWORD",
    "_PASSPHRASE",
    "_SECRET",
    "_KEY",
    "_USERNAME",
    "_CREDENTIALS",
)

FAMILIES: Final = (
    Family(
        "the loader's own",
        prefixes="INFISICAL_",
        closed=True,
    ),
    Family(
        "process",
        names="""
            ALLUSERSPROFILE APPDATA CDPATH COMSPEC CREDENTIALS_DIRECTORY HOME HOMEDRIVE HOMEPATH
            LISTEN_FDNAMES LISTEN_FDS LISTEN_PID LOCALAPPDATA LOGNAME NODE_ENV NOTIFY_SOCKET
            OLDPWD PATH PATHEXT PROGRAMDATA PWD SHELL SQLITE_TMPDIR SYSTEMDRIVE SYSTEMROOT TEMP
            TEMPDIR TERMCAP TERMINFO TERMINFO_DIRS TERMPATH TMP TMPDIR USER USERPROFILE WINDIR
        """,
        prefixes="COMMONPROGRAMFILES PROGRAMFILES XDG_",
        suffixes="_HOME",
    ),
    Family(
        "shell",
        names="""
            ENV EXECIGNORE FCEDIT FPATH GLOBIGNORE HISTFILE IFS INPUTRC MAILPATH NULLCMD
            PROMPT_COMMAND PS0 PS1 PS2 PS4 READNULLCMD SHELLOPTS ZDOTDIR fish_function_path
        """,
        prefixes="BASHOPTS BASH_ __fish_",
        closed=True,
    ),
    Family(
        "dynamic linker and C library",
        names="""
            GCONV_PATH I18NPATH LIBC_FATAL_STDERR_ LIBPATH LOCPATH NLSPATH SHLIB_PATH TZDIR
        """,
        prefixes="DYLD_ GLIBC_ LD_ MALLOC_ QEMU_ _RLD",
        suffixes="_LIBRARY_PATH _PRELOAD",
        closed=True,
    ),
    Family(
        "plug-ins of libraries",
        names="""
            ALSA_CONFIG_PATH GI_TYPELIB_PATH GSS_MECH_CONFIG INTEL_LIBITTNOTIFY32
            INTEL_LIBITTNOTIFY64 LIBSMB_PROG MYSQL_TEST_LOGIN_FILE OCL_ICD_FILENAMES
            OCL_ICD_VENDORS ODBCINI ODBCINSTINI ODBCSYSINI OMP_TOOL_LIBRARIES
            OPENCV_OPENCL_RUNTIME PROJ_DATA PROJ_LIB SDL_DYNAMIC_API SMB_CONF_PATH SOFTHSM2_CONF
        """,
        prefixes="""
            CUDA_INJECTION FONTCONFIG_ GDAL_ GDK_ GEGL_ GIO_ GSETTINGS_ GST_PLUGIN GST_PRESET
            GST_REGISTRY GTK_ LIBGL_ LIBMYSQL_ LIBVA_ MAGICK_ NVTX_INJECTION OPENSSL_ P11_KIT_
            PANGO_ QT_ SASL_CONF SASL_PATH VK_ADD_ VK_ALLOW_ VK_DRIVER_ VK_ICD_ VK_LAYER_ __EGL_
            __GLX_
        """,
        suffixes="_MODULE_PATH _PLUGIN_PATH",
    ),
    Family(
        "trust",
        names="""
            GRPC_DEFAULT_SSL_ROOTS_FILE_PATH HTTPLIB2_CA_CERTS LDAPCONF LDAPNOINIT LDAPRC
            NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED SSL_CERT_DIR SSL_CERT_FILE
        """,
        prefixes="KRB5 LDAPTLS_ NSS_",
        suffixes="SSLKEYLOGFILE _CA_BUNDLE _SSL_CERT_DIR _SSL_CERT_FILE",
    ),
    Family(
        "proxies",
        suffixes="_PROXY",
        exceptions="BEHIND_PROXY ENABLE_PROXY REVERSE_PROXY TRUST_PROXY USE_PROXY",
        any_case=True,
    ),
    Family(
        "routes",
        names="""
            AWS_CONFIG_FILE AWS_DATA_PATH AWS_SDK_LOAD_CONFIG AWS_SHARED_CREDENTIALS_FILE
            AWS_WEB_IDENTITY_TOKEN_FILE AZURE_AUTHORITY_HOST AZURE_CONFIG_DIR
            AZURE_EXTENSION_DIR BOTO_CONFIG CONTAINERD_ADDRESS CONTAINERS_CONF CONTAINER_HOST
            DISPLAY GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES HF_ENDPOINT HOSTALIASES
            IDENTITY_ENDPOINT IMDS_ENDPOINT KUBECONFIG KUBECTL_EXTERNAL_DIFF LAMBDA_RUNTIME_DIR
            LAMBDA_TASK_ROOT LOCALDOMAIN MSI_ENDPOINT PROXYCHAINS_CONF_FILE REGISTRY_AUTH_FILE
            RESOLV_HOST_CONF RES_OPTIONS SOCKS5_SERVER SOCKS_SERVER TORSOCKS_CONF_FILE
            TSOCKS_CONF_FILE WAYLAND_DISPLAY XAUTHORITY _HANDLER
        """,
        prefixes="""
            AWS_CONTAINER_ AWS_EC2_METADATA_ AWS_LAMBDA_ AWS_METADATA_ BUILDKIT_ BUILDX_
            CLOUDSDK_ COMPOSE_ DBUS_ DOCKER_ GCE_METADATA_ HELM_ KUBERNETES_ PODMAN_
        """,
    ),
    Family(
        "git",
        prefixes="GIT_",
    ),
    Family(
        "other version control and remote shells",
        names="""
            CVSROOT CVS_SERVER GNUPGHOME GPG_AGENT_INFO HGMERGE HGPLAIN HGRCPATH
            PINENTRY_USER_DATA RCLONE_CONFIG RSH RSYNC_CONNECT_PROG SSH_AGENT_PID SSH_AUTH_SOCK
            SVN_SSH
        """,
        prefixes="AUTOSSH_ PASSWORD_STORE_ SSH_ASKPASS SSH_PKCS11_ SSH_SK_ SUDO_",
        suffixes="_ASKPASS _PASSCOMMAND _PASSWORD_COMMAND _RSH _SSH_COMMAND",
    ),
    Family(
        "pagers, editors and browsers",
        names="""
            BROWSER EDITOR EMACSDATA EMACSLOADPATH EXINIT GH_BROWSER GVIMINIT LESS LESSCLOSE
            LESSECHO LESSEDIT LESSHISTFILE LESSKEY LESSKEYIN LESSKEYIN_SYSTEM LESSKEY_CONTENT
            LESSKEY_SYSTEM LESSOPEN MAILCAPS MANOPT MANPAGER MANPATH MANROFFOPT MORE MYVIMRC
            PAGER SELECTOR VIM VIMINIT VIMRUNTIME VISUAL
        """,
        prefixes="NVIM_ SYSTEMD_",
        suffixes="_EDITOR _PAGER",
    ),
    Family(
        "tools of the command line",
        names="""
            ACKRC ACK_OPTIONS AWKLIBPATH AWKPATH BZIP BZIP2 CHROME_BIN CHROME_DEVEL_SANDBOX
            CHROME_PATH CHROMIUM_FLAGS CURL_HOME FFMPEG_PATH FFPROBE_PATH FFREPORT GH_CONFIG_DIR
            GRAPHVIZ_DOT GREP_OPTIONS GS_LIB GS_OPTIONS GZIP HTTPIE_CONFIG_DIR
            IMAGEIO_FFMPEG_EXE M4PATH NETRC ORACLE_PATH PACKER_CONFIG PACKER_PLUGIN_PATH
            PARALLEL PGSERVICEFILE PGSYSCONFDIR PSQLRC REDISCLI_RCFILE RIPGREP_CONFIG_PATH
            SE_CHROMEDRIVER SE_EDGEDRIVER SE_GECKODRIVER SQLPATH SYSTEM_WGETRC TAPE TAR_OPTIONS
            TEXINPUTS TF_DATA_DIR TF_LOG_PATH TF_REATTACH_PROVIDERS UNZIPOPT WGETRC XZ_DEFAULTS
            XZ_OPT ZIPOPT shell_escape
        """,
        prefixes="""
            ANSIBLE_ FZF_ PARALLEL_ PLAYWRIGHT_ PSQL_ PULUMI_ PUPPETEER_ TEXMF TF_CLI_
            TF_PLUGIN_ VAGRANT_
        """,
    ),
    Family(
        "builds",
        names="""
            ACLOCAL_PATH AR ARFLAGS AS CC CFLAGS COMPILER_PATH CONFIG_SHELL CONFIG_SITE CPATH
            CPLUS_INCLUDE_PATH CPP CPPFLAGS CXX CXXFLAGS C_INCLUDE_PATH FC FFLAGS
            GCC_EXEC_PREFIX GNUMAKEFLAGS LD LDFLAGS LDLIBS LEX LIBRARY_PATH LIBTOOL MAKE
            MAKEFILES MAKEFLAGS MAKEOVERRIDES MFLAGS NM OBJC_INCLUDE_PATH RANLIB STRIP YACC
        """,
        prefixes="CCACHE_ CMAKE_ DISTCC_ GYP_ PKG_CONFIG SCCACHE_",
    ),
    Family(
        "Python",
        names="""
            FLASK_APP FLASK_DEBUG GUNICORN_CMD_ARGS IPYTHONDIR JUPYTER_CONFIG_DIR
            JUPYTER_CONFIG_PATH JUPYTER_PATH MATPLOTLIBRC MPLCONFIGDIR MYPYPATH VIRTUAL_ENV
            WERKZEUG_DEBUG_PIN __PYVENV_LAUNCHER__
        """,
        prefixes="""
            CONDA_ COVERAGE_ PDM_ PEX_ PIPENV_ PIPX_ PIP_ POETRY_ PYENV_ PYSPARK_ PYTEST_ PYTHON
            SHIV_ UVICORN_ UV_
        """,
    ),
    Family(
        "Node and other JavaScript",
        names="""
            ESBUILD_BINARY_PATH NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE
            NODE_COMPILE_CACHE NODE_COMPILE_CACHE_PORTABLE NODE_CONFIG_DIR NODE_DEBUG
            NODE_DEBUG_NATIVE NODE_ICU_DATA NODE_INSPECT_RESUME_ON_START NODE_OPTIONS NODE_PATH
            NODE_REDIRECT_WARNINGS NODE_REPL_EXTERNAL_MODULE NODE_REPL_HISTORY NODE_TEST_CONTEXT
            NODE_UNIQUE_ID NODE_V8_COVERAGE PRISMA_ENGINES_MIRROR PRISMA_FMT_BINARY
            PRISMA_INTROSPECTION_ENGINE_BINARY PRISMA_MIGRATION_ENGINE_BINARY
            PRISMA_QUERY_ENGINE_BINARY PRISMA_QUERY_ENGINE_LIBRARY PRISMA_SCHEMA_ENGINE_BINARY
            SASS_BINARY_PATH SASS_PATH TSX_TSCONFIG_PATH
        """,
        prefixes="""
            BUN_ COREPACK_ DENO_ ELECTRON_ FNM_ NODENV_ NVM_ PNPM_ TS_NODE_ VOLTA_ YARN_
        """,
        suffixes="_BINARY_PATH",
    ),
    Family(
        "npm",
        names="NPM_EXECPATH NPM_NODE_EXECPATH",
        prefixes="NPM_CONFIG_ PNPM_CONFIG_",
        any_case=True,
        closed=True,
    ),
    Family(
        "Ruby",
        names="BOOTSNAP_CACHE_DIR IRBRC PRYRC RAKEOPT",
        prefixes="BUNDLER_ BUNDLE_ GEM_ JRUBY_ RBENV_ RUBY TRUFFLERUBY",
    ),
    Family(
        "Perl",
        prefixes="PERL",
    ),
    Family(
        "PHP",
        names="COMPOSER PHPRC",
        prefixes="COMPOSER_ PHP_INI_ PHP_PEAR_ XDEBUG_",
        exceptions="COMPOSER_AUTH",
    ),
    Family(
        "Java",
        names="""
            ANT_ARGS CLASSPATH JAVACMD JAVA_ARGS JAVA_OPTIONS JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS
            JVM_ARGS MAVEN_ARGS MAVEN_BASEDIR MAVEN_CONFIG _JAVA_OPTIONS
        """,
        prefixes="CATALINA_ LOG4J2_ LOG4J_",
        suffixes="_CLASSPATH _OPTS",
    ),
    Family(
        "Spring",
        names="""
            LOGGING.CONFIG LOGGING_CONFIG SPRING.APPLICATION.JSON SPRING_APPLICATION_JSON
        """,
        prefixes="""
            SPRING.CLOUD.BOOTSTRAP SPRING.CLOUD.CONFIG SPRING.CONFIG SPRING.MAIN
            SPRING_CLOUD_BOOTSTRAP SPRING_CLOUD_CONFIG SPRING_CONFIG SPRING_MAIN
        """,
        any_case=True,
    ),
    Family(
        ".NET",
        names="""
            ASPNETCORE_HOSTINGSTARTUPASSEMBLIES ASPNETCORE_HOSTINGSTARTUPEXCLUDEASSEMBLIES
            MONO_CFG_DIR MONO_CONFIG MONO_ENV_OPTIONS MONO_GAC_PREFIX MONO_OPTIONS MONO_PATH
            PSModulePath
        """,
        prefixes="COMPlus_ CORECLR_ COR_ DOTNET_ MSBUILD MSBuild NUGET_ POWERSHELL_",
    ),
    Family(
        "Lua",
        prefixes="LUAROCKS_ LUA_",
    ),
    Family(
        "Erlang and Elixir",
        names="""
            BINDIR EMU ERLC_OPTIONS HEX_CACERTS_PATH HEX_MIRROR HEX_UNSAFE_HTTPS
            HEX_UNSAFE_REGISTRY MIX_ARCHIVES MIX_BUILD_PATH MIX_BUILD_ROOT MIX_DEPS_PATH MIX_ENV
            MIX_EXS MIX_HOME MIX_INSTALL_DIR MIX_PATH MIX_REBAR MIX_REBAR3 MIX_XDG
            RELEASE_BOOT_SCRIPT RELEASE_REMOTE_VM_ARGS RELEASE_ROOT RELEASE_SYS_CONFIG
            RELEASE_VM_ARGS RELX_CONFIG_PATH ROOTDIR VMARGS_PATH
        """,
        prefixes="ELIXIR_ ERL_ REBAR_",
    ),
    Family(
        "R",
        prefixes="R_",
    ),
    Family(
        "Go",
        names="""
            GCCGO GO111MODULE GOAUTH GOBIN GOCACHE GOCOVERDIR GODEBUG GOENV GOEXPERIMENT GOFLAGS
            GOINSECURE GOMODCACHE GONOPROXY GONOSUMCHECK GONOSUMDB GOPATH GOPRIVATE GOPROXY
            GOROOT GOSUMDB GOTMPDIR GOTOOLCHAIN GOTOOLDIR GOVCS GOWORK
        """,
        prefixes="CGO_ GOENV_",
    ),
    Family(
        "Rust",
        names="CARGO RUSTC RUSTDOC RUSTDOCFLAGS RUSTFLAGS",
        prefixes="CARGO_ RUSTC_ RUSTUP_",
    ),
    Family(
        "other languages",
        names="""
            CABAL_CONFIG CABAL_DIR DART_VM_OPTIONS GHCRTS PLTADDONDIR PLTCOLLECTS PUB_CACHE
            PUB_HOSTED_URL SBCL_HOME STACK_ROOT STACK_YAML TCLLIBPATH TCL_LIBRARY TK_LIBRARY
        """,
        prefixes="CAMLRUNPARAM CAML_LD_ CRYSTAL_ GHC_ GUILE_ JULIA_ OCAML OCTAVE_ OPAM",
    ),
    Family(
        "version managers",
        prefixes="ASDF_ GOENV_ JENV_ MISE_ SDKMAN_",
    ),
    Family(
        "sanitizers and tracing",
        names="""
            ASAN_OPTIONS LSAN_OPTIONS LTTNG_UST_CTL_PATH MSAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS
        """,
    ),
)
