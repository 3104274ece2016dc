/* cli_completion - angarium completion: a script that completes the verbs in bash or zsh. */
#include "node/ops/cli.h"

static const char options[] = "--endpoint --token-file --ca-file --dir --output --help";

static void print_verbs(void)
{
    const struct cli_verb *v;

    for (unsigned i = 0; (v = cli_verb_at(i)) != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", v->name);
}

static void print_bash(void)
{
    printf("_angarium() {\n"
           "    local here=${COMP_WORDS[COMP_CWORD]}\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W \"");
    print_verbs();
    printf("\" -- \"$here\"))\n"
           "    elif [ \"${here#-}\" != \"$here\" ]; then\n"
           "        COMPREPLY=($(compgen -W \"%s\" -- \"$here\"))\n"
           "    else\n"
           "        COMPREPLY=($(compgen -f -- \"$here\"))\n"
           "    fi\n"
           "}\n"
           "complete -o filenames -F _angarium angarium\n",
           options);
}

static void print_zsh(void)
{
    const struct cli_verb *v;

    printf("#compdef angarium\n"
           "_angarium() {\n"
           "    local -a verbs\n"
           "    verbs=(\n");
    for (unsigned i = 0; (v = cli_verb_at(i)) != NULL; i++)
        printf("        '%s:%s'\n", v->name, v->line);
    printf("    )\n"
           "    if (( CURRENT == 2 )); then _describe verb verbs; else _files; fi\n"
           "}\n"
           "compdef _angarium angarium\n");
}

static int run(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "bash") == 0)
        print_bash();
    else if (argc == 2 && strcmp(argv[1], "zsh") == 0)
        print_zsh();
    else
        return cli_usage(argv[0], "which shell: bash or zsh?");
    return CLI_DONE;
}

const struct cli_verb cli_verb_completion = {
    .name = "completion",
    .usage = "bash|zsh",
    .line = "print a script that completes the verbs in a shell",
    .help = "Prints a script for the shell; load it in the shell's start file.\n"
            "\n"
            "Examples:\n"
            "  source <(angarium completion bash)\n"
            "  angarium completion zsh > ~/.zfunc/_angarium\n",
    .run = run,
};
