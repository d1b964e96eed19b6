def material_options(wildcards):
    """What `halmd structure` is told of one material."""
    return structure_options(CAMPAIGN, material_named(CAMPAIGN, wildcards.material))


def own_cif(wildcards):
    """A material's own CIF, so that an edit of it builds the structures again."""
    prototype = material_named(CAMPAIGN, wildcards.material).prototype
    return prototype if prototype and Path(prototype).is_file() else []


def ranking_potential(_):
    """The prepared potential, where it ranks the orderings."""
    return POTENTIAL if CAMPAIGN.structure.rank_by != "ewald" else []


rule structure:
    input:
        own_cif,
        potential=ranking_potential,
    output:
        orderings=[
            f"{RESULTS}/{{material}}/orderings/{n:02d}.extxyz"
            for n in range(CAMPAIGN.structure.n_orderings)
        ],
        summary=f"{RESULTS}/{{material}}/orderings/orderings.json",
    params:
        formula=lambda w: material_named(CAMPAIGN, w.material).formula,
        material=material_options,
        folder=lambda w: f"{RESULTS}/{w.material}/orderings",
        seed=lambda w: seed_of(CAMPAIGN, "structure", w.material),
        settings=options(CAMPAIGN.structure),
        ranking=f"--potential {POTENTIAL} {EXTRAPOLATION}"
        if CAMPAIGN.structure.rank_by != "ewald"
        else "",
    log:
        f"{WORK}/logs/{{material}}/structure.log",
    benchmark:
        f"{WORK}/benchmarks/{{material}}/structure.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "halmd structure {params.formula:q} --output {params.folder} {params.material} "
        "--seed {params.seed} {params.settings} {params.ranking} > {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"
